//! The built-in files that the embedded server has.

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) content_type: &'static str,
    pub(super) bytes: &'static [u8],
}

/// Finds the file for a decoded path; of a directory, its index.
pub(super) fn find(path: &str) -> Option<File> {
    let (content_type, bytes): (_, &[u8]) = match path {
        "/" | "/index.html" => ("text/html", INDEX.as_bytes()),
        "/100.html" => ("text/html", &[b'X'; 100]),
        "/zero" => ("application/octet-stream", &[0; 32_768]),
        _ => return None,
    };
    Some(File { content_type, bytes })
}

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
<a href=\"/100.html\">/100.html</a>,
<a href=\"/zero\">/zero</a>.</p>
</body>
</html>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_what_testrunners_are() {
        assert!(find("/").unwrap().bytes.windows(9).any(|word| word == b"It works!"));
        assert_eq!(find("/100.html").unwrap().bytes, "X".repeat(100).as_bytes());
        assert_eq!(find("/zero").unwrap().bytes, [0; 32_768]);
        assert!(find("/../etc/passwd").is_none());
    }
}
