//! What was measured on this device, kept in the browser's IndexedDB so that it is measured once.
//!
//! A browser may refuse to keep anything (private windows, full disks): then it is measured at each visit.

use engine::runtime::gpu::Choice;
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{IdbDatabase, IdbOpenDbRequest, IdbRequest, IdbTransactionMode, WorkerGlobalScope};

const DATABASE: &str = "aware";
const STORE: &str = "choices";
const VERSION: u32 = 1;

/// The choice that was kept under `key`.
pub async fn load(key: &str) -> Option<Choice> {
    let found = async {
        let store = open().await?.transaction_with_str(STORE)?.object_store(STORE)?;
        settled(&store.get(&key.into())?).await
    };
    // Whatever stands there, an earlier version may have written it.
    serde_wasm_bindgen::from_value(found.await.ok()?).ok()
}

/// Keeps `choice` under `key`, if the browser lets it.
pub async fn save(key: &str, choice: &Choice) {
    let saved = async {
        let value = serde_wasm_bindgen::to_value(choice)?;
        let mode = IdbTransactionMode::Readwrite;
        let store = open().await?.transaction_with_str_and_mode(STORE, mode)?.object_store(STORE)?;
        settled(&store.put_with_key(&value, &key.into())?).await
    };
    // It is measured again next time.
    let _: Result<JsValue, JsValue> = saved.await;
}

async fn open() -> Result<IdbDatabase, JsValue> {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let factory = scope.indexed_db()?.ok_or("there is no IndexedDB")?;
    let request = factory.open_with_u32(DATABASE, VERSION)?;
    let upgraded: IdbOpenDbRequest = request.clone();
    let on_upgrade = Closure::once(move |_: JsValue| -> Result<(), JsValue> {
        let database: IdbDatabase = upgraded.result()?.unchecked_into();
        database.create_object_store(STORE).map(|_| ())
    });
    request.set_onupgradeneeded(Some(on_upgrade.as_ref().unchecked_ref()));
    Ok(settled(&request).await?.unchecked_into())
}

/// The result of `request` once it has one.
async fn settled(request: &IdbRequest) -> Result<JsValue, JsValue> {
    let promise = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    });
    JsFuture::from(promise).await?;
    request.result()
}
