//! A worker seen from the page: typed messages, and its death as an event.

use crate::download::describe;
use crate::memory::REFUSED;
use crate::message::Failure;
use js_sys::{Function, Object, Reflect, Uint8Array, WebAssembly};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

/// A module whose function returns a vector: i32.const 0 and i8x16.splat, twice, and i8x16.relaxed_swizzle.
const RELAXED_SIMD: &[u8] = &[
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 0, 253, 15, 65, 0,
    253, 15, 253, 128, 2, 11,
];

/// The scripts that may become a worker; Trunk writes them beside `index.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// The engine: [`crate::worker`].
    Engine,
    /// The same for browsers with relaxed SIMD, by a wasm of its own.
    RelaxedEngine,
    /// The second opinion: [`crate::wonnx_worker`].
    Wonnx,
    /// Frames of videos: [`crate::decoder`].
    Decoder,
    /// onnxruntime-web, for the benchmark: `web/peer_loader.js`.
    Peer,
    /// What keeps the page: [`crate::offline`].
    ServiceWorker,
}

impl Script {
    const ALL: [Script; 6] = [
        Script::Engine,
        Script::RelaxedEngine,
        Script::Wonnx,
        Script::Decoder,
        Script::Peer,
        Script::ServiceWorker,
    ];

    /// The fastest engine that this browser takes.
    pub fn engine() -> Script {
        match WebAssembly::validate(&Uint8Array::from(RELAXED_SIMD).into()) {
            Ok(true) => Script::RelaxedEngine,
            _ => Script::Engine,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Script::Engine => "worker_loader.js",
            Script::RelaxedEngine => "worker_relaxed_loader.js",
            Script::Wonnx => "wonnx_loader.js",
            Script::Decoder => "decoder_loader.js",
            Script::Peer => "peer_loader.js",
            Script::ServiceWorker => "service_worker.js",
        }
    }
}

#[wasm_bindgen]
extern "C" {
    /// `Worker` whose constructor takes a `TrustedScriptURL`, which web-sys does not know.
    #[wasm_bindgen(extends = Worker, js_name = Worker)]
    type TrustedWorker;

    #[wasm_bindgen(constructor, catch, js_class = "Worker")]
    fn new(url: &JsValue, options: &WorkerOptions) -> Result<TrustedWorker, JsValue>;

    type TrustedTypePolicyFactory;

    #[wasm_bindgen(method, catch, js_name = createPolicy)]
    fn create_policy(
        this: &TrustedTypePolicyFactory,
        name: &str,
        rules: &Object,
    ) -> Result<TrustedTypePolicy, JsValue>;

    type TrustedTypePolicy;

    #[wasm_bindgen(method, catch, js_name = createScriptURL)]
    fn create_script_url(this: &TrustedTypePolicy, path: &str) -> Result<JsValue, JsValue>;
}

/// The page's one Trusted Types policy: it vouches for the [`Script`]s and for nothing else.
///
/// Made once: the content security policy allows the name `aware` no second time.
pub struct ScriptPolicy(Option<TrustedTypePolicy>);

impl ScriptPolicy {
    /// The policy, where the browser has Trusted Types.
    ///
    /// # Errors
    /// If the browser refuses the policy.
    pub fn create() -> Result<Self, JsValue> {
        let factory = Reflect::get(&js_sys::global(), &"trustedTypes".into())?;
        if factory.is_undefined() {
            return Ok(ScriptPolicy(None));
        }
        let vouch = Closure::<dyn Fn(String) -> Result<String, JsValue>>::new(|path: String| {
            if Script::ALL.iter().any(|script| script.path() == path) {
                return Ok(path);
            }
            Err(js_sys::TypeError::new(&format!("{path:?} is not a script of this page")).into())
        });
        let rules = Object::new();
        Reflect::set(&rules, &"createScriptURL".into(), &vouch.into_js_value())?;
        let factory: TrustedTypePolicyFactory = factory.unchecked_into();
        Ok(ScriptPolicy(Some(factory.create_policy("aware", &rules)?)))
    }

    /// The address of `script`, with the policy's word where the browser asks for it.
    ///
    /// # Errors
    /// If the browser refuses it.
    pub fn url(&self, script: Script) -> Result<JsValue, JsValue> {
        match &self.0 {
            Some(policy) => policy.create_script_url(script.path()),
            None => Ok(script.path().into()),
        }
    }
}

/// A running worker; dropping the value ends it.
pub struct WorkerHandle {
    worker: Worker,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_death: Closure<dyn Fn(ErrorEvent)>,
}

impl WorkerHandle {
    /// Starts `script` under `name`, which it can read; its messages go to `on_response`, its death goes to `on_death`, after which the handle
    /// is of no more use.
    ///
    /// # Errors
    /// `worker_died` if the browser does not start it.
    pub fn open<T: DeserializeOwned>(
        policy: &ScriptPolicy,
        script: Script,
        name: &str,
        on_response: impl Fn(T) + 'static,
        on_death: impl Fn(Failure) + Clone + 'static,
    ) -> Result<Self, Failure> {
        let worker = start(policy, script, name).map_err(|error| died(&describe(&error)))?;
        let on_unreadable = on_death.clone();
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            match serde_wasm_bindgen::from_value(event.data()) {
                Ok(response) => on_response(response),
                Err(error) => on_unreadable(died(&error.to_string())),
            }
        });
        let on_death = Closure::<dyn Fn(ErrorEvent)>::new(move |event: ErrorEvent| {
            event.prevent_default();
            // A script that did not load gives a plain event without a message.
            let message =
                Reflect::get(&event, &"message".into()).ok().and_then(|message| message.as_string());
            on_death(died(message.as_deref().unwrap_or("its script did not load")));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let on_death_function: &Function = on_death.as_ref().unchecked_ref();
        worker.set_onerror(Some(on_death_function));
        worker.set_onmessageerror(Some(on_death_function));
        Ok(WorkerHandle { worker, _on_message: on_message, _on_death: on_death })
    }

    /// Sends `request`.
    ///
    /// # Errors
    /// `worker_died` if the message cannot be sent.
    pub fn send(&self, request: &impl Serialize) -> Result<(), Failure> {
        serde_wasm_bindgen::to_value(request)
            .map_err(JsValue::from)
            .and_then(|message| self.worker.post_message(&message))
            .map_err(|error| died(&describe(&error)))
    }
}

impl WorkerHandle {
    /// Sends `request` and gives `owned`, which is in it, away.
    ///
    /// # Errors
    /// `worker_died` if the message cannot be sent.
    pub fn send_with(&self, request: &impl Serialize, owned: &JsValue) -> Result<(), Failure> {
        serde_wasm_bindgen::to_value(request)
            .map_err(JsValue::from)
            .and_then(|message| self.worker.post_message_with_transfer(&message, &js_sys::Array::of1(owned)))
            .map_err(|error| died(&describe(&error)))
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.set_onmessageerror(None);
        self.worker.terminate();
    }
}

fn start(policy: &ScriptPolicy, script: Script, name: &str) -> Result<Worker, JsValue> {
    let options = WorkerOptions::new();
    options.set_name(name);
    options.set_type(WorkerType::Module);
    Ok(TrustedWorker::new(&policy.url(script)?, &options)?.unchecked_into())
}

fn died(why: &str) -> Failure {
    if why.contains(REFUSED) {
        let advice = "the browser gives this page no more memory; close other tabs or take a smaller picture, and try again";
        return Failure::new("memory", advice);
    }
    Failure::new("worker_died", format!("the part of the page that computes stopped ({why}); try again"))
}
