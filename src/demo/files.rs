//! The files of the embedded server: those of `./wwwroot` if that is there, else a few that are built in.

use super::cache::{Cache, Content, Kept, SMALL};
use super::packed::Packed;
use super::range::{self, Part};
use coro::http::{Head, Method, Reply, Request, Sent, Status};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Large files that are in memory are sent in pieces of this size.
const PIECE: usize = 64 * 1024;

/// How long a file is kept, unless the environment says otherwise (with `--lwan-compat`).
pub(super) const KEEP: Duration = Duration::from_secs(5);

/// Where the server's files are.
#[derive(Debug)]
pub(super) struct Files {
    root: Option<PathBuf>,
    cache: Cache,
    packed: Packed,
    compat: bool,
    started: SystemTime,
}

/// What is at a path.
enum Found {
    File(File),
    /// Its names, sorted, directories with a slash behind them; and what its README says.
    Directory(Vec<String>, Option<String>),
}

struct File {
    content_type: &'static str,
    bytes: Bytes,
    modified: SystemTime,
}

enum Bytes {
    BuiltIn(&'static [u8]),
    Kept(Arc<Kept>),
}

/// Where bytes are.
enum Place<'a> {
    InMemory(&'a [u8]),
    InFile(&'a fs::File, usize),
}

impl Bytes {
    fn place(&self) -> Place<'_> {
        match self {
            Bytes::BuiltIn(bytes) => Place::InMemory(bytes),
            Bytes::Kept(kept) => match &kept.content {
                Content::Small(bytes) => Place::InMemory(bytes),
                Content::Large(file, length) => Place::InFile(file, *length),
            },
        }
    }
}

impl Files {
    pub(super) fn new(compat: bool, keep: Duration) -> Files {
        let root = fs::canonicalize("wwwroot").ok().filter(|root| root.is_dir());
        let cache = Cache::new(keep, compat);
        Files { root, cache, packed: Packed::default(), compat, started: SystemTime::now() }
    }

    /// Answers a request for a decoded path.
    pub(super) fn answer(&self, path: &str, request: &Request<'_>, reply: Reply<'_>) -> io::Result<Sent> {
        let nothing = "There is nothing at this path.";
        let Some(clean) = normal(path) else { return reply.page(Status::NOT_FOUND, nothing) };
        let Some(found) = self.find(&clean) else { return reply.page(Status::NOT_FOUND, nothing) };
        if !matches!(request.method(), Method::Get | Method::Head) {
            return reply.not_allowed("GET, HEAD", "Files can only be read.");
        }
        match found {
            Found::File(file) => self.send(&clean, &file, request, reply),
            Found::Directory(..) if !path.ends_with('/') => {
                let location = format!("/{clean}/");
                let head = Head::new(Status::MOVED_PERMANENTLY, "text/plain");
                reply.send(&head.headers(&[("Location", &location)]), location.as_bytes())
            }
            Found::Directory(names, readme) => {
                let page = listing(&clean, &names, readme.as_deref());
                reply.send(&Head::new(Status::OK, "text/html"), page.as_bytes())
            }
        }
    }

    fn find(&self, path: &str) -> Option<Found> {
        let Some(root) = &self.root else { return built_in(path, self.started) };
        let place = fs::canonicalize(root.join(path)).ok()?;
        // A link may lead out of it.
        if !place.starts_with(root) {
            return None;
        }
        let place = if place.is_dir() {
            let index = place.join("index.html");
            if !index.is_file() {
                return directory(&place);
            }
            index
        } else {
            place
        };
        let file = self.cache.get(&place).ok()?;
        let modified = file.modified;
        Some(Found::File(File { content_type: content_type(&place), bytes: Bytes::Kept(file), modified }))
    }

    fn send(&self, path: &str, file: &File, request: &Request<'_>, reply: Reply<'_>) -> io::Result<Sent> {
        let header = |name| String::from_utf8_lossy(request.header(name).unwrap_or_default());
        let modified = httpdate::fmt_http_date(file.modified);
        let since = httpdate::parse_http_date(&header("if-modified-since")).ok();
        // The header has whole seconds.
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if since.is_some_and(|since| seconds(since) >= seconds(file.modified)) {
            return reply.send(&Head::new(Status::NOT_MODIFIED, file.content_type), b"");
        }
        let place = file.bytes.place();
        let length = match place {
            // Not in parts, but compressed.
            Place::InMemory(bytes) if bytes.len() <= SMALL => {
                let takes = takes_deflate(&header("accept-encoding"));
                let packed = takes.then(|| self.packed.get(path, file.modified, bytes)).flatten();
                if let Some(packed) = packed {
                    let headers = [("Content-Encoding", "deflate"), ("Vary", "Accept-Encoding")];
                    return reply.send(&Head::new(Status::OK, file.content_type).headers(&headers), &packed);
                }
                return reply.send(&Head::new(Status::OK, file.content_type), bytes);
            }
            Place::InMemory(bytes) => bytes.len(),
            Place::InFile(_, length) => length,
        };
        let range = header("range");
        let part = match (range.is_empty(), self.compat) {
            (true, _) => Part::Whole,
            (false, true) => range::find_as_lwan(&range, length),
            (false, false) => range::find(&range, length),
        };
        let described = |text: &str| match self.compat {
            true => None,
            false => Some(format!("bytes {text}/{length}")),
        };
        let mut headers = vec![("Last-Modified", &*modified)];
        let (from, to, status, content_range) = match part {
            Part::Whole => (0, length, Status::OK, None),
            Part::Of(from, to) => {
                (from, to, Status::PARTIAL_CONTENT, described(&format!("{from}-{}", to - 1)))
            }
            Part::Unsatisfiable => {
                let content_range = described("*");
                let headers: Vec<_> = content_range.iter().map(|text| ("Content-Range", &**text)).collect();
                let text = "The file has no such part.";
                return reply.page_with(Status::RANGE_UNSATISFIABLE, &headers, text);
            }
        };
        if !self.compat {
            headers.push(("Accept-Ranges", "bytes"));
        }
        headers.extend(content_range.iter().map(|text| ("Content-Range", &**text)));
        let mut body = reply.sized(&Head::new(status, file.content_type).headers(&headers), to - from)?;
        match place {
            Place::InFile(file, _) => body.write_file(file, from as u64, (to - from) as u64)?,
            Place::InMemory(bytes) => {
                for piece in bytes[from..to].chunks(PIECE) {
                    body.write(piece)?;
                }
            }
        }
        body.finish()
    }
}

/// A path without empty segments and dots, relative to the root; nothing if it leads out of it.
fn normal(path: &str) -> Option<String> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            _ if segment.contains('\0') => return None,
            _ => segments.push(segment),
        }
    }
    let clean = segments.join("/");
    let is_plain = Path::new(&clean).components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then_some(clean)
}

/// Whether a client takes what is packed; lwan looks no further than the word's first letters.
fn takes_deflate(accepts: &str) -> bool {
    accepts.split(',').any(|word| word.trim().starts_with("defl") && !word.replace(' ', "").ends_with(";q=0"))
}

fn directory(place: &Path) -> Option<Found> {
    let mut names: Vec<String> = fs::read_dir(place)
        .ok()?
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() { name + "/" } else { name }
        })
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let readme = ["README", "README.TXT", "README.txt", "readme.txt"]
        .iter()
        .find_map(|name| fs::read_to_string(place.join(name)).ok());
    Some(Found::Directory(names, readme))
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or("") {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "txt" | "TXT" | "md" => "text/plain",
        "js" => "text/javascript",
        "json" => "application/json",
        "gif" => "image/gif",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// A directory as a page.
fn listing(path: &str, names: &[String], readme: Option<&str>) -> String {
    let title = escaped(if path.is_empty() { "/" } else { path });
    let mut page = format!(
        "<!DOCTYPE html><html><head><title>Index of {title}</title></head><body><h1>Index of {title}</h1>"
    );
    if let Some(readme) = readme {
        page.push_str(&format!("<pre>{}</pre>", escaped(readme)));
    }
    page.push_str("<ul>");
    for name in names {
        let link = percent_encoding::utf8_percent_encode(name, LINK);
        page.push_str(&format!("<li><a href=\"{link}\">{}</a></li>", escaped(name).replace("&#x2f;", "/")));
    }
    page.push_str("</ul></body></html>\n");
    page
}

/// What can't stand in a link as it is.
const LINK: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'#')
    .add(b'?')
    .add(b'&')
    .add(b':');

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            '/' => escaped.push_str("&#x2f;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The files that are there without a folder.
fn built_in(path: &str, modified: SystemTime) -> Option<Found> {
    let (content_type, bytes): (_, &[u8]) = match path {
        "" | "index.html" => ("text/html", INDEX.as_bytes()),
        "100.html" => ("text/html", &[b'X'; 100]),
        "zero" => ("application/octet-stream", &[0; 32_768]),
        "icons" => {
            let names = ["README.TXT", "back.gif", "file.gif", "folder.gif"].map(String::from);
            return Some(Found::Directory(names.to_vec(), Some(README.into())));
        }
        "icons/README.TXT" => ("text/plain", README.as_bytes()),
        "icons/back.gif" | "icons/file.gif" | "icons/folder.gif" => ("image/gif", ICON),
        _ => return None,
    };
    Some(Found::File(File { content_type, bytes: Bytes::BuiltIn(bytes), modified }))
}

const README: &str = "The \"icons\" here are one pixel each: they're for listings/tests.\n";

const ICON: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

const INDEX: &str = "<!DOCTYPE html>
<html>
<head><title>It works!</title></head>
<body>
<h1>It works!</h1>
<p>This page came out of a coroutine. There is more:
<a href=\"/hello\">/hello</a>,
<a href=\"/hello?name=you&amp;dump_vars=1\">/hello?name=you&amp;dump_vars=1</a>,
<a href=\"/sleep?ms=500\">/sleep?ms=500</a>,
<a href=\"/chunked\">/chunked</a>,
<a href=\"/sse\">/sse</a>,
<a href=\"/icons/\">/icons/</a>,
<a href=\"/100.html\">/100.html</a>,
<a href=\"/zero\">/zero</a>.</p>
</body>
</html>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_collapse_and_do_not_lead_out() {
        for (path, clean) in [
            ("/", Some("")),
            ("//a///b/", Some("a/b")),
            ("/a/./b/../c", Some("a/c")),
            ("/a/../../b", None),
            ("/..", None),
            ("/a\0b", None),
        ] {
            assert_eq!(normal(path).as_deref(), clean, "{path:?}");
        }
    }

    #[test]
    fn the_files_are_what_testrunners_are() {
        let bytes = |path| match built_in(path, SystemTime::UNIX_EPOCH) {
            Some(Found::File(File { bytes: Bytes::BuiltIn(bytes), .. })) => bytes.to_vec(),
            _ => panic!("{path} is no file"),
        };
        assert!(bytes("").windows(9).any(|word| word == b"It works!"));
        assert_eq!(bytes("100.html"), "X".repeat(100).as_bytes());
        assert_eq!(bytes("zero"), [0; 32_768]);
        assert!(built_in("etc/passwd", SystemTime::UNIX_EPOCH).is_none());
    }

    #[test]
    fn who_takes_deflate_says_so() {
        for (accepts, takes) in [
            ("deflate", true),
            ("gzip, deflate, br", true),
            ("gzip, defl", true),
            ("deflate;q=0", false),
            ("gzip", false),
            ("", false),
        ] {
            assert_eq!(takes_deflate(accepts), takes, "{accepts}");
        }
    }

    #[test]
    fn names_can_not_become_markup() {
        let page = listing("a'b", &["\"><script>".into()], Some("</pre>"));
        assert!(page.contains("<h1>Index of a&#x27;b</h1>") && page.contains("<pre>&lt;&#x2f;pre&gt;</pre>"));
        assert!(page.contains("<a href=\"%22%3E%3Cscript%3E\">&quot;&gt;&lt;script&gt;</a>"), "{page}");
    }
}
