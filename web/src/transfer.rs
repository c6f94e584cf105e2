//! The bytes at one address of the page's own origin, over several tries: a try asks for what the ones before it did not bring.

use crate::download::describe;
use crate::timer::{Timer, sleep};
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, ReadableStreamDefaultReader, RequestCache, RequestInit, Response, WorkerGlobalScope,
};

/// A download without a byte for so long has stalled.
const STALL_MS: i32 = 20_000;
const STALLED: &str = "no byte came for 20 seconds";
/// Waits before a download is tried again.
const BACK_OFF_MS: [i32; 2] = [1_000, 4_000];

/// How much is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many bytes, by a manifest that has their digest too: parts of several tries may be put together.
    Exactly(u64),
    /// Nobody knows the bytes: each try begins anew, lest two versions are mixed.
    AtMost(u64),
}

/// Why a body did not come.
enum Miss {
    /// Asking again may help.
    Passing(String),
    /// The server means it.
    Lasting(String),
}

/// The body at `path`, nothing where the server has no such file. Reading stops once it is larger than `size`: who knows the
/// digest refuses it.
///
/// # Errors
/// Why the last of three tries failed.
pub async fn fetch_body(
    path: &str,
    cache: RequestCache,
    size: Size,
    on_bytes: &dyn Fn(u64),
) -> Result<Option<Vec<u8>>, String> {
    let mut transfer = Transfer { path, cache, size, content: Vec::new(), tag: None };
    let mut waits_ms = BACK_OFF_MS.iter();
    loop {
        let why = match transfer.go_on(on_bytes).await {
            Ok(is_there) => return Ok(is_there.then_some(transfer.content)),
            Err(Miss::Lasting(why)) => return Err(why),
            Err(Miss::Passing(why)) => why,
        };
        let Some(&wait_ms) = waits_ms.next() else { return Err(why) };
        sleep(wait_ms).await;
    }
}

struct Transfer<'a> {
    path: &'a str,
    cache: RequestCache,
    size: Size,
    /// What came so far.
    content: Vec<u8>,
    /// What the server calls the version that `content` is of.
    tag: Option<String>,
}

impl Transfer<'_> {
    /// Asks for what is missing, and takes it; false where there is no such file.
    async fn go_on(&mut self, on_bytes: &dyn Fn(u64)) -> Result<bool, Miss> {
        let controller = AbortController::new().map_err(broken)?;
        let signal = controller.signal();
        let mut patience = Timer::new(STALL_MS, move || controller.abort_with_reason(&STALLED.into()));
        let options = || {
            let options = RequestInit::new();
            options.set_signal(Some(&signal));
            options
        };
        match self.size {
            Size::AtMost(_) => self.content.clear(),
            // It broke off behind its last byte.
            Size::Exactly(bytes) if bytes > 0 && self.content.len() as u64 == bytes => return Ok(true),
            Size::Exactly(_) => {}
        }
        let mut cache = self.cache;
        if !self.content.is_empty() {
            let rest = ask(self.path, &self.for_rest(options())?).await?;
            if self.is_rest(&rest) {
                return self.take(&rest, &mut patience, on_bytes).await.map(|()| true);
            }
            if is_passing(rest.status()) {
                return Err(refused(rest.status()));
            }
            // All of it then, also where the server has sent something that nobody asked for; a cache may have the first part.
            self.content.clear();
            cache = RequestCache::Reload;
            if rest.status() == 200 {
                return self.begin(&rest, &mut patience, on_bytes).await.map(|()| true);
            }
            if let Some(body) = rest.body() {
                drop(body.cancel());
            }
        }
        let options = options();
        options.set_cache(cache);
        let whole = ask(self.path, &options).await?;
        match whole.status() {
            200 => self.begin(&whole, &mut patience, on_bytes).await.map(|()| true),
            404 => Ok(false),
            status => Err(refused(status)),
        }
    }

    /// `options` of a request for the bytes behind those that came, as long as they are of the same version.
    fn for_rest(&self, options: RequestInit) -> Result<RequestInit, Miss> {
        let headers = web_sys::Headers::new().map_err(broken)?;
        headers.set("Range", &format!("bytes={}-", self.content.len())).map_err(broken)?;
        if let Some(tag) = &self.tag {
            headers.set("If-Range", tag).map_err(broken)?;
        }
        options.set_headers(&headers);
        // No cache is to put parts together: it could not tell whether the result is right.
        options.set_cache(RequestCache::NoStore);
        Ok(options)
    }

    /// Whether `response` brings the bytes behind those that came.
    fn is_rest(&self, response: &Response) -> bool {
        let Size::Exactly(bytes) = self.size else { return false };
        response.status() == 206
            // Places in what was compressed are other places.
            && !is_encoded(response)
            && header(response, "Content-Range")
                .is_some_and(|range| is_range(&range, self.content.len() as u64, bytes))
    }

    /// Takes the body of `response` from its first byte on.
    async fn begin(
        &mut self,
        response: &Response,
        patience: &mut Timer,
        on_bytes: &dyn Fn(u64),
    ) -> Result<(), Miss> {
        // A weak tag may stand for several bodies, and then nobody promises that their parts fit.
        self.tag = header(response, "ETag").filter(|tag| tag.starts_with('"'));
        if let Size::Exactly(bytes) = self.size {
            // Growing on the way would take twice the memory. Manifests list no larger files than the engine takes.
            self.content.reserve_exact(bytes as usize);
        }
        self.take(response, patience, on_bytes).await
    }

    /// Adds the body of `response` to what came.
    async fn take(
        &mut self,
        response: &Response,
        patience: &mut Timer,
        on_bytes: &dyn Fn(u64),
    ) -> Result<(), Miss> {
        let (Size::Exactly(limit) | Size::AtMost(limit)) = self.size;
        let Some(body) = response.body() else { return Ok(()) };
        let promised = (self.content.len() as u64).saturating_add(promised_bytes(response));
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        while self.content.len() as u64 <= limit {
            let chunk = JsFuture::from(reader.read()).await.map_err(broken)?;
            patience.restart();
            if Reflect::get(&chunk, &"done".into()).map_err(broken)?.is_truthy() {
                break;
            }
            let chunk = Reflect::get(&chunk, &"value".into()).map_err(broken)?;
            let chunk: Uint8Array = chunk.dyn_into().map_err(broken)?;
            let start = self.content.len();
            self.content.resize(start + chunk.length() as usize, 0);
            chunk.copy_to(&mut self.content[start..]);
            on_bytes(self.content.len() as u64);
        }
        // Nobody waits for the rest of a body that is too long.
        drop(reader.cancel());
        // Not every browser calls it an error when a connection ends before its time.
        if (self.content.len() as u64) < promised {
            return Err(Miss::Passing("the connection ended early".into()));
        }
        Ok(())
    }
}

async fn ask(path: &str, options: &RequestInit) -> Result<Response, Miss> {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(scope.fetch_with_str_and_init(path, options)).await.map_err(broken)?;
    Ok(response.unchecked_into())
}

fn broken(error: JsValue) -> Miss {
    Miss::Passing(describe(&error))
}

/// Whether a server that answers `status` may answer otherwise soon.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

fn refused(status: u16) -> Miss {
    let why = format!("the server answered {status}");
    if is_passing(status) { Miss::Passing(why) } else { Miss::Lasting(why) }
}

/// How many bytes the body of `response` has by its head; 0 where that says nothing of them.
fn promised_bytes(response: &Response) -> u64 {
    let length = header(response, "Content-Length").filter(|_| !is_encoded(response));
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// Whether the body of `response` is sent in other bytes than it has, compressed as a rule.
fn is_encoded(response: &Response) -> bool {
    header(response, "Content-Encoding").is_some_and(|encoding| encoding != "identity")
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).ok().flatten()
}

/// Whether `content_range` names the bytes from `start` to the end of a file of `bytes` bytes.
fn is_range(content_range: &str, start: u64, bytes: u64) -> bool {
    content_range
        .strip_prefix("bytes ")
        .is_some_and(|range| bytes > start && range.trim() == format!("{start}-{}/{bytes}", bytes - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_missing_bytes_of_the_same_file_are_taken() {
        for (content_range, want) in [
            ("bytes 10-99/100", true),
            ("bytes 0-99/100", false),
            ("bytes 11-99/100", false),
            ("bytes 10-98/100", false),
            ("bytes 10-99/*", false),
            ("bytes 10-99/101", false),
            ("bytes 10-100/101", false),
            ("bytes */100", false),
            ("bytes 10-/100", false),
            ("bytes=10-99/100", false),
            ("10-99/100", false),
            ("bytes 18446744073709551626-99/100", false),
            ("", false),
        ] {
            assert_eq!(is_range(content_range, 10, 100), want, "{content_range:?}");
        }
        assert!(!is_range("bytes 100-99/100", 100, 100));
    }

    #[test]
    fn servers_that_are_busy_are_asked_again() {
        for (status, want) in
            [(408, true), (429, true), (500, true), (503, true), (404, false), (403, false), (206, false)]
        {
            assert_eq!(is_passing(status), want, "{status}");
        }
    }
}
