//! The page kept on this device for use without a network: its service worker (web/service_worker.js), seen from the page.

use crate::message::{KeepFailure, KeeperRequest, KeeperResponse};
use crate::page::on;
use crate::text::text;
use js_sys::{Promise, Reflect};
use std::cell::Cell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Event, MessageEvent, RegistrationOptions, ServiceWorker, ServiceWorkerContainer,
    ServiceWorkerRegistration, ServiceWorkerUpdateViaCache,
};

/// How far the page is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Offline {
    /// Nobody tried yet.
    #[default]
    Unknown,
    /// This browser does not keep pages, or not here.
    Unavailable,
    /// On its way.
    Keeping,
    /// All that a verdict needs is here.
    Kept,
    /// It is not, and why.
    NotKept(KeepFailure),
    /// It is, and so is a newer version.
    UpdateReady,
    /// The newer version waits for other tabs of this page to be closed.
    OtherTabs,
    /// The visitor had it thrown away.
    Forgotten,
}

impl Offline {
    /// The state in a word, for style sheet and tests.
    pub fn name(self) -> &'static str {
        match self {
            Offline::Unknown => "unknown",
            Offline::Unavailable => "unavailable",
            Offline::Keeping => "keeping",
            Offline::Kept => "kept",
            Offline::NotKept(KeepFailure::Full) => "full",
            Offline::NotKept(KeepFailure::Download) => "failed",
            Offline::UpdateReady => "update-ready",
            Offline::OtherTabs => "other-tabs",
            Offline::Forgotten => "forgotten",
        }
    }

    /// Whether the page starts without a network.
    pub fn is_kept(self) -> bool {
        matches!(self, Offline::Kept | Offline::UpdateReady | Offline::OtherTabs)
    }

    /// The state as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Offline::Unknown => "",
            Offline::Unavailable => text("offline.unavailable"),
            Offline::Keeping => text("offline.keeping"),
            Offline::NotKept(KeepFailure::Full) => text("offline.full"),
            Offline::NotKept(KeepFailure::Download) => text("offline.failed"),
            Offline::Forgotten => text("offline.forgotten"),
            _ => text("offline.kept"),
        }
    }

    /// What there is to say of a newer version.
    pub fn update_sentence(self) -> &'static str {
        match self {
            Offline::UpdateReady => text("offline.update_ready"),
            Offline::OtherTabs => text("offline.other_tabs"),
            _ => "",
        }
    }
}

#[wasm_bindgen]
extern "C" {
    /// Whose `register` takes a `TrustedScriptURL`, which web-sys does not know.
    #[wasm_bindgen(extends = ServiceWorkerContainer, js_name = ServiceWorkerContainer)]
    type TrustedContainer;

    #[wasm_bindgen(method, catch, js_name = register)]
    fn register_trusted(
        this: &TrustedContainer,
        url: &JsValue,
        options: &RegistrationOptions,
    ) -> Result<Promise, JsValue>;
}

/// The service worker of this page.
pub struct Keeper(Rc<Watch>);

struct Watch {
    /// That of the document.
    version: String,
    container: Option<TrustedContainer>,
    registration: Cell<Option<ServiceWorkerRegistration>>,
    failure: Cell<KeepFailure>,
    /// Whether the service worker hands out this page's files.
    is_controlled: Cell<bool>,
    report: Box<dyn Fn(Offline)>,
}

impl Keeper {
    /// Lets the script at `url` keep the page, whose version is `version`; what becomes of that goes to `report`, later.
    pub fn open(url: JsValue, version: String, report: impl Fn(Offline) + 'static) -> Self {
        let watch = Rc::new(Watch {
            version,
            container: container(),
            registration: Cell::default(),
            failure: Cell::new(KeepFailure::Download),
            is_controlled: Cell::default(),
            report: Box::new(report),
        });
        let begun = watch.clone();
        spawn_local(async move {
            if let Err(error) = begin(&begun, &url).await {
                // Of a script that did not arrive; a browser that refuses gives a DOMException.
                let is_download = error.is_instance_of::<js_sys::TypeError>();
                let failure = Offline::NotKept(KeepFailure::Download);
                (begun.report)(if is_download { failure } else { Offline::Unavailable });
            }
        });
        Keeper(watch)
    }

    /// Lets the newer version start, if no other tab needs the old one.
    pub fn switch(&self) {
        if let Some(waiting) = self.0.registration().and_then(|registration| registration.waiting()) {
            post(&waiting, &KeeperRequest::Switch);
        }
    }

    /// Throws away what is kept.
    pub fn forget(&self) {
        if let Some(active) = self.0.registration().and_then(|registration| registration.active()) {
            post(&active, &KeeperRequest::Forget);
        }
    }
}

impl Watch {
    fn registration(&self) -> Option<ServiceWorkerRegistration> {
        let registration = self.registration.take();
        self.registration.set(registration.clone());
        registration
    }

    /// Says how far it is.
    fn look(&self) {
        let Some(registration) = self.registration() else { return };
        let state = match (registration.active(), registration.waiting(), registration.installing()) {
            (Some(_), Some(_), _) => Offline::UpdateReady,
            (Some(active), None, _) => {
                if !self.is_controlled.get() {
                    post(&active, &KeeperRequest::Start { version: self.version.clone() });
                }
                Offline::Kept
            }
            (None, None, None) => Offline::NotKept(self.failure.get()),
            (None, ..) => Offline::Keeping,
        };
        (self.report)(state);
    }

    fn on_response(&self, response: KeeperResponse) {
        match response {
            KeeperResponse::Failed { reason } => {
                self.failure.set(reason);
                self.look();
            }
            KeeperResponse::OtherTabs => (self.report)(Offline::OtherTabs),
            KeeperResponse::Forgotten => (self.report)(Offline::Forgotten),
        }
    }
}

/// The browser's service workers; none in private windows of some browsers, nor without https.
fn container() -> Option<TrustedContainer> {
    let navigator = web_sys::window()?.navigator();
    let container = Reflect::get(&navigator, &"serviceWorker".into()).ok()?;
    (!container.is_undefined()).then(|| container.unchecked_into())
}

async fn begin(watch: &Rc<Watch>, url: &JsValue) -> Result<(), JsValue> {
    let container = watch.container.as_ref().ok_or("there are no service workers")?;
    watch.is_controlled.set(container.controller().is_some());

    let changed = watch.clone();
    on(container, "controllerchange", move |_: Event| {
        // From one version to the next: this document is of the old one.
        if changed.is_controlled.replace(true)
            && let Some(window) = web_sys::window()
        {
            // Refused is only what is no address.
            let _ = window.location().reload();
        }
    })?;
    let told = watch.clone();
    on(container, "message", move |event: MessageEvent| {
        // Another version may say other things.
        if let Ok(response) = serde_wasm_bindgen::from_value(event.data()) {
            told.on_response(response);
        }
    })?;

    let options = RegistrationOptions::new();
    // A new version must not hide behind an old answer.
    options.set_update_via_cache(ServiceWorkerUpdateViaCache::None);
    let registration = JsFuture::from(container.register_trusted(url, &options)?).await?;
    let registration: ServiceWorkerRegistration = registration.dyn_into()?;
    watch.registration.set(Some(registration.clone()));
    if let Some(installing) = registration.installing() {
        follow(watch, &installing)?;
    }
    let found = watch.clone();
    on(&registration, "updatefound", move |_: Event| {
        if let Some(installing) = found.registration().and_then(|registration| registration.installing())
            && follow(&found, &installing).is_ok()
        {
            found.look();
        }
    })?;
    watch.look();
    Ok(())
}

/// Looks again whenever `worker` is further.
fn follow(watch: &Rc<Watch>, worker: &ServiceWorker) -> Result<(), JsValue> {
    let watch = watch.clone();
    on(worker, "statechange", move |_: Event| watch.look())
}

fn post(worker: &ServiceWorker, request: &KeeperRequest) {
    // A worker that is gone by now has nothing to do either.
    let _ = serde_wasm_bindgen::to_value(request)
        .map_err(JsValue::from)
        .and_then(|message| worker.post_message(&message));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_kept_is_said_to_work_offline() {
        let failures = [KeepFailure::Full, KeepFailure::Download].map(Offline::NotKept);
        let others = [Offline::Unknown, Offline::Unavailable, Offline::Keeping, Offline::Forgotten];
        for state in others.into_iter().chain(failures) {
            assert!(!state.is_kept() && !state.sentence().contains("Works offline"), "{state:?}");
            assert!(state.update_sentence().is_empty(), "{state:?}");
        }
        for state in [Offline::Kept, Offline::UpdateReady, Offline::OtherTabs] {
            assert!(state.is_kept() && state.sentence().starts_with("Works offline"), "{state:?}");
            assert_eq!(state.update_sentence().is_empty(), state == Offline::Kept, "{state:?}");
        }
    }
}
