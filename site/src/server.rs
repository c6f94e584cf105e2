//! Serves the built page on this machine only, with the headers that it is meant to have.

use crate::range::{Part, tag};
use anyhow::{Context, Result, anyhow, ensure};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpStream;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tiny_http::{Header, Method, Request, Response, StatusCode};

/// What the page and its workers may do.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types aware; frame-ancestors 'none'";

/// Sent with every answer. The policy is the one in the page's `meta` tag, and what a tag cannot say:
/// a worker has only the policy that comes with its own script.
const HEADERS: [(&str, &str); 7] = [
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Permissions-Policy", "camera=(self), microphone=(), geolocation=()"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    // A page that was just built must show.
    ("Cache-Control", "no-cache"),
];

/// How often waiting connections are freed.
const NUDGE: Duration = Duration::from_millis(100);

/// A server of one folder.
pub struct Server {
    http: Arc<tiny_http::Server>,
    folder: PathBuf,
    port: u16,
}

impl Server {
    /// A server of `folder` on `port`, or on any free one if that is 0.
    ///
    /// # Errors
    /// If the folder has no page or the port is taken.
    pub fn bind(folder: &Path, port: u16) -> Result<Self> {
        let context = || format!("there is no page in {}; run `cargo xtask build`", folder.display());
        let root = folder.canonicalize().with_context(context)?;
        ensure!(root.join("index.html").is_file(), context());
        let http = tiny_http::Server::http(("127.0.0.1", port));
        let http = http
            .map_err(|error| anyhow!("cannot listen on port {port}: {error}; choose another with --port"))?;
        let port = http.server_addr().to_ip().context("the server has no port")?.port();
        Ok(Server { http: Arc::new(http), folder: root, port })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Answers until the program ends.
    ///
    /// # Errors
    /// If the thread of the server dies.
    pub fn run(self) -> Result<()> {
        self.start().join().map_err(|_| anyhow!("the thread of the server died"))
    }

    /// Answers in the background until the program ends.
    ///
    /// Each request gets a thread: one that asks and then does not read holds up nobody else.
    pub fn start(&self) -> std::thread::JoinHandle<()> {
        nudge(self.port);
        let (http, folder) = (Arc::clone(&self.http), self.folder.clone());
        std::thread::spawn(move || {
            while let Ok(request) = http.recv() {
                let folder = folder.clone();
                std::thread::spawn(move || answer(request, &folder));
            }
        })
    }
}

/// Connects to `port` again and again, for as long as somebody listens there.
///
/// Of two connections that come at once tiny_http 0.12 may count on the same idle thread (`TaskPool::spawn` sees it waiting
/// until it has woken up). The second one then waits until any other connection ends, and browsers keep theirs: a page stood
/// still for a minute, with one of its files asked for and never answered. Each end of a connection frees what waits.
fn nudge(port: u16) {
    std::thread::spawn(move || {
        while TcpStream::connect(("127.0.0.1", port)).is_ok() {
            std::thread::sleep(NUDGE);
        }
    });
}

fn answer(request: Request, folder: &Path) {
    let is_read = matches!(request.method(), Method::Get | Method::Head);
    let file = resolve(folder, request.url()).and_then(|path| Some((open(&request, &path)?, path)));
    // Whoever asked may be gone already; that is no error of the server's.
    let _ = match file {
        _ if !is_read => {
            request.respond(with_headers(text(405, "only GET and HEAD\n"), &[("Allow", "GET, HEAD")]))
        }
        None => request.respond(with_headers(text(404, "there is no such file\n"), &[])),
        Some((opened, path)) => {
            let Opened { file, bytes, tag, part } = opened;
            let range = part.content_range(bytes);
            let mut more =
                vec![("Content-Type", content_type(&path)), ("ETag", &tag), ("Accept-Ranges", "bytes")];
            more.extend(range.as_deref().map(|range| ("Content-Range", range)));
            let length = part.length(bytes);
            let (status, body) = (StatusCode(part.status()), file.take(length));
            let response = Response::new(status, Vec::new(), body, usize::try_from(length).ok(), None);
            request.respond(with_headers(response, &more))
        }
    };
}

/// A file, from the first byte on that is sent of it.
struct Opened {
    file: File,
    bytes: u64,
    tag: String,
    part: Part,
}

fn open(request: &Request, path: &Path) -> Option<Opened> {
    let mut file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let (bytes, tag) = (metadata.len(), tag(&metadata));
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|header| header.field.equiv(name));
        found.map(|header| header.value.as_str())
    };
    let part = Part::of(header("Range"), header("If-Range"), &tag, bytes);
    if let Part::Range { first, .. } = part {
        file.seek(SeekFrom::Start(first)).ok()?;
    }
    Some(Opened { file, bytes, tag, part })
}

fn text(status: u16, text: &str) -> Response<std::io::Cursor<Vec<u8>>> {
    Response::from_string(text).with_status_code(StatusCode(status))
}

fn with_headers<R: Read>(mut response: Response<R>, more: &[(&str, &str)]) -> Response<R> {
    for (name, value) in HEADERS.iter().chain(more) {
        // All of them are constants of this file.
        if let Ok(header) = Header::from_bytes(*name, *value) {
            response.add_header(header);
        }
    }
    response
}

/// The file in `folder` that `url` means; none for everything outside, hidden or odd.
///
/// `folder` is canonical, so that a link out of it is seen.
fn resolve(folder: &Path, url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = percent_decode(path)?;
    let path = if path.is_empty() || path.ends_with('/') { path + "index.html" } else { path };
    let odd = |c: char| c.is_control() || matches!(c, '\\' | ':');
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(odd);
    if !path.split('/').all(plain) {
        return None;
    }
    let names_only = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
    let found = folder.join(&path).canonicalize().ok().filter(|_| names_only)?;
    (found.starts_with(folder) && found.is_file()).then_some(found)
}

/// `text` with %XX replaced; none if that is wrong or no UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "md" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_policy_is_the_pages_own() {
        let page = include_str!("../../index.html");
        let own = POLICY.strip_suffix("; frame-ancestors 'none'").unwrap();
        assert!(page.contains(&format!("content=\"{own}\"")), "index.html has another policy than {own:?}");
    }

    /// A site with a secret beside it, removed at the end.
    struct Site {
        parent: PathBuf,
    }

    impl Site {
        fn new(name: &str) -> Self {
            let parent = std::env::temp_dir().join(format!("aware-server-{name}-{}", std::process::id()));
            for (file, content) in [
                ("secret.txt", "secret"),
                ("site2/secret.txt", "secret"),
                ("site/index.html", "<title>page</title>"),
                ("site/app.wasm", "\0asm"),
                ("site/models/a b.json", "{}"),
                ("site/.hidden", "secret"),
            ] {
                let path = parent.join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            #[cfg(unix)]
            std::os::unix::fs::symlink(parent.join("secret.txt"), parent.join("site/link.txt")).unwrap();
            Site { parent }
        }

        fn folder(&self) -> PathBuf {
            self.parent.join("site").canonicalize().unwrap()
        }
    }

    impl Drop for Site {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.parent);
        }
    }

    #[test]
    fn urls_name_files_of_the_folder() {
        let site = Site::new("good");
        for (url, want) in [
            ("/", "index.html"),
            ("/?x=1#y", "index.html"),
            ("/index.html", "index.html"),
            ("/app.wasm?v=2", "app.wasm"),
            ("/models/a%20b.json", "models/a b.json"),
        ] {
            assert_eq!(resolve(&site.folder(), url), Some(site.folder().join(want)), "{url}");
        }
    }

    #[test]
    fn hostile_urls_name_nothing() {
        let site = Site::new("bad");
        for url in [
            "",
            "*",
            "secret.txt",
            "http://127.0.0.1/index.html",
            "/..",
            "/../secret.txt",
            "/../site2/secret.txt",
            "/models/../../secret.txt",
            "/%2e%2e/secret.txt",
            "/%2E%2E%2Fsecret.txt",
            "/..%2fsecret.txt",
            "/..\\secret.txt",
            "/..%5csecret.txt",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/%00",
            "/index.html%00.png",
            "/index.html/",
            "/./index.html",
            "/models",
            "/models/",
            "/models//a%20b.json",
            "/.hidden",
            "/link.txt",
            "/%",
            "/%2",
            "/%zz",
            "/%ff%fe",
            "/C:/x",
            "/index.html:stream",
            "/nothing",
            "/%252e%252e/secret.txt",
        ] {
            assert_eq!(resolve(&site.folder(), url), None, "{url}");
        }
        assert_eq!(resolve(&site.folder(), &format!("/{}", "a/".repeat(100_000))), None);
    }

    /// The raw answer to a raw request.
    fn ask(server: &Server, request: &str) -> String {
        ask_with(server, request, "")
    }

    /// The same with more headers.
    fn ask_with(server: &Server, request: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn answers_carry_status_type_and_headers() {
        let site = Site::new("http");
        let server = Server::bind(&site.folder(), 0).unwrap();
        server.start();
        struct Case {
            request: &'static str,
            status: &'static str,
            contains: &'static str,
        }
        for Case { request, status, contains } in [
            Case { request: "GET /", status: "200", contains: "Content-Type: text/html; charset=utf-8" },
            Case { request: "GET /", status: "200", contains: "<title>page</title>" },
            Case { request: "GET /app.wasm", status: "200", contains: "Content-Type: application/wasm" },
            Case { request: "HEAD /index.html", status: "200", contains: "Content-Length: 19" },
            Case { request: "GET /../secret.txt", status: "404", contains: "no such file" },
            Case { request: "GET /%2e%2e/secret.txt", status: "404", contains: "no such file" },
            Case { request: "GET /index.html", status: "200", contains: "Accept-Ranges: bytes" },
            Case { request: "GET /none", status: "404", contains: "no such file" },
            Case { request: "POST /", status: "405", contains: "Allow: GET, HEAD" },
            Case { request: "DELETE /index.html", status: "405", contains: "only GET and HEAD" },
        ] {
            let answer = ask(&server, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert!(answer.contains(contains), "{request} without {contains:?}: {answer}");
            assert!(!answer.ends_with("secret"), "{request}: {answer}");
            for (name, value) in HEADERS {
                assert!(
                    answer.contains(&format!("{name}: {value}\r\n")),
                    "{request} without {name}: {answer}"
                );
            }
            assert_eq!(answer.matches("Content-Type:").count(), 1, "{answer}");
        }
        assert!(!ask(&server, "HEAD /index.html").contains("<title>"));
    }

    #[test]
    fn a_part_of_a_file_is_sent_to_who_has_the_rest() {
        let site = Site::new("range");
        let server = Server::bind(&site.folder(), 0).unwrap();
        server.start();
        let whole = ask(&server, "GET /");
        let tag = whole.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
        for (headers, status, contains, body) in [
            ("Range: bytes=7-\r\n", "206", "Content-Range: bytes 7-18/19", "page</title>"),
            ("Range: bytes=0-6\r\n", "206", "Content-Length: 7", "<title>"),
            (&format!("Range: bytes=7-\r\nIf-Range: {tag}\r\n"), "206", "Content-Length: 12", "page</title>"),
            ("Range: bytes=7-\r\nIf-Range: \"x\"\r\n", "200", "Content-Length: 19", "<title>page</title>"),
            ("Range: bytes=19-\r\n", "416", "Content-Range: bytes */19", ""),
        ] {
            let answer = ask_with(&server, "GET /", headers);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
            assert!(answer.contains(contains), "{headers}: {answer}");
            assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, body, "{headers}");
        }
        std::fs::write(site.folder().join("index.html"), "<title>PAGE</title>").unwrap();
        assert!(!ask(&server, "GET /").contains(tag), "what was written again has another tag");
    }

    #[test]
    fn who_does_not_read_holds_up_nobody() {
        let site = Site::new("stalled");
        // More than the sockets between us buffer.
        std::fs::write(site.folder().join("large.bin"), vec![0; 32 << 20]).unwrap();
        let server = Server::bind(&site.folder(), 0).unwrap();
        server.start();
        let stalled = |_| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            write!(stream, "GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
        };
        let stalled: Vec<TcpStream> = (0..20).map(stalled).collect();
        assert!(ask(&server, "GET /").starts_with("HTTP/1.1 200 "));
        drop(stalled);
    }

    /// As browsers do: several connections in one moment, all of which stay open.
    #[test]
    fn connections_that_come_at_once_are_all_answered() {
        let site = Site::new("crowd");
        let server = Server::bind(&site.folder(), 0).unwrap();
        server.start();
        for _ in 0..20 {
            let barrier = std::sync::Barrier::new(12);
            std::thread::scope(|scope| {
                for _ in 0..12 {
                    scope.spawn(|| {
                        barrier.wait();
                        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
                        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                        write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                        stream.read_exact(&mut [0]).expect("an answer within 20 seconds");
                        // Nobody hangs up before all are answered.
                        barrier.wait();
                    });
                }
            });
        }
    }

    #[test]
    fn a_folder_without_a_page_is_refused() {
        let site = Site::new("none");
        for folder in ["site/models", "nowhere"] {
            let refused = Server::bind(&site.parent.join(folder), 0).err().unwrap();
            assert!(format!("{refused:#}").contains("cargo xtask build"), "{refused:#}");
        }
    }
}
