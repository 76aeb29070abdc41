//! Who may import whom, and which files must stay free of I/O.
//!
//! Imports go downwards. The table is the one in ARCHITECTURE.md; the compiler cannot hold it in
//! one crate, so this does. It also prints the files that have grown long, without failing.

use std::path::{Path, PathBuf};

/// Files that are pure cores inside an I/O module; they count as layer 2.
const CORES: [&str; 6] = [
    "client::challenge",
    "client::handshake",
    "pool::state",
    "server::inflight",
    "server::login",
    "session::machine",
];

/// A file longer than this is printed.
const LONG: usize = 400;

/// The layer of a module path below `crate`, as `pool::state`.
fn layer(path: &str) -> Option<u8> {
    if core_of(path).is_some() {
        return Some(2);
    }
    Some(match top(path) {
        "calendar" | "error" | "config" | "timer" => 0,
        "wire" | "sql" | "auth" => 1,
        // `rule` is the macro that declares the rules of `lint`; macros live at the top of a crate.
        "route" | "lint" | "rule" => 2,
        "net" | "tls" | "shutdown" | "derivation" | "ldap" | "pam" => 3,
        "server" | "client" | "audit" => 4,
        "pool" => 5,
        "session" => 6,
        "control" => 7,
        "metrics" | "advisor" | "locks" | "watcher" | "patroni" => 8,
        "admin" | "web" | "otlp" => 9,
        "worker" | "recorder" | "daemon" | "app" | "cli" | "offline" | "signals" | "logging"
        | "demo" | "top" | "main" | "lib" => 10,
        _ => return None,
    })
}

fn top(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// The core that a path is in, if any.
fn core_of(path: &str) -> Option<&'static str> {
    CORES
        .into_iter()
        .find(|core| path == *core || path.starts_with(&format!("{core}::")))
}

/// Why `from` may not import `to`, if it may not.
fn forbidden(from: &str, to: &str) -> Option<String> {
    // The top of a module may do as it likes with its own parts, but a core imports downwards
    // wherever it lives.
    if top(from) == top(to) && (core_of(from).is_none() || core_of(from) == core_of(to)) {
        return None;
    }
    let Some(low) = layer(to) else {
        return Some(format!("`{to}` is in no layer: add it to the table"));
    };
    let high = layer(from).unwrap_or(0);
    let allowed = match (high, low) {
        (10, _) => true,
        (3, 3) => top(from) == "net" && top(to) == "tls",
        (2, 2) => {
            (core_of(from) == Some("session::machine") && top(to) == "route")
                || (top(from), top(to)) == ("lint", "rule")
        }
        // Runs what `auth` describes on other threads.
        (3, 1) if top(from) == "derivation" => top(to) == "auth",
        // A concern of the outside knows plain data only; TLS and sockets no protocol.
        (3, low) => low == 0,
        (5, 4) => matches!(top(to), "server" | "audit"),
        // The page shows and does what the console shows and does.
        (9, 9) => (top(from), top(to)) == ("web", "admin"),
        (high, low) => low < high,
    };
    (!allowed).then(|| format!("layer {high} may not import layer {low}"))
}

/// One source file without its comments and its tests.
struct Source {
    path: PathBuf,
    /// As `pool::state`.
    module: String,
    lines: usize,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let source = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let relative = path
            .strip_prefix(&root)
            .expect("below src")
            .with_extension("");
        let mut parts: Vec<String> = relative
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        if parts.len() > 1 && parts.last().is_some_and(|part| part == "mod") {
            parts.pop();
        }
        Source {
            module: parts.join("::"),
            lines: text.lines().count(),
            code: code(&text),
            path,
        }
    };
    let is_test = |path: &PathBuf| {
        path.components().any(|c| {
            let name = c.as_os_str().to_string_lossy();
            name == "tests.rs" || name == "tests"
        })
    };
    let inside =
        |path: &PathBuf| !is_test(&path.strip_prefix(&root).expect("below src").to_owned());
    files.into_iter().filter(inside).map(source).collect()
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The lines before the tests, without line comments.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // A module of tests ends a file by convention.
        let tests = line.starts_with("#[cfg(test)]")
            && lines
                .peek()
                .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if tests {
            break;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// Paths after `crate::`, with the groups in braces written out: `crate::a::{b, c::d}` gives
/// `a::b` and `a::c::d`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        expand("", &code[at + "crate::".len()..], &mut found);
    }
    found
}

/// Reads one path or group at the front of `text`; gives how many bytes it took.
fn expand(prefix: &str, text: &str, found: &mut Vec<String>) -> usize {
    let start = text.len() - text.trim_start().len();
    let path_end = text[start..]
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .map_or(text.len(), |end| start + end);
    let path = &text[start..path_end];
    if !text[path_end..].starts_with('{') {
        // What comes after a single colon is not a path any more, as in a type ascription.
        let path = path.trim_end_matches(':');
        if !path.is_empty() {
            found.push(format!("{prefix}{path}"));
        }
        return path_end;
    }
    let prefix = format!("{prefix}{path}");
    let mut at = path_end + 1;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with('}') {
            return at + 1;
        }
        let taken = match rest.chars().next() {
            Some(c) if c == ',' || c.is_whitespace() => c.len_utf8(),
            _ => expand(&prefix, rest, found).max(1),
        };
        at += taken;
    }
    at
}

#[test]
fn imports_go_downwards() {
    let sources = sources();
    assert!(sources.len() > 20, "only {} files", sources.len());
    for source in sources.iter().filter(|source| source.lines > LONG) {
        println!("long: {}: {} lines", source.path.display(), source.lines);
    }
    let mut wrong = Vec::new();
    for source in &sources {
        for import in imports(&source.code) {
            if let Some(reason) = forbidden(&source.module, &import) {
                wrong.push(format!(
                    "{}: crate::{import}: {reason}",
                    source.path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn cores_contain_no_input_output_and_no_clock() {
    // Addresses are values; sockets are not.
    let words = [
        "tokio",
        "crate::timer",
        "std::net::Tcp",
        "std::net::Udp",
        "std::os::unix::net",
        "std::fs",
        "Instant::now",
        "SystemTime::now",
        "metrics::",
        "std::thread::spawn",
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        if !matches!(layer(&source.module), Some(1 | 2)) {
            continue;
        }
        for (number, line) in source.code.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", source.path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A worker's runtime has no timers: making one there panics, but only when it comes to that.
#[test]
fn timers_are_made_in_one_place() {
    let mut wrong = Vec::new();
    for source in sources() {
        // The demo's own runtime has timers.
        if matches!(top(&source.module), "timer" | "demo") {
            continue;
        }
        for (number, line) in source.code.lines().enumerate() {
            let makes = ["timeout", "sleep", "interval", "self", "{"]
                .iter()
                .any(|name| line.contains(&format!("tokio::time::{name}")));
            if makes {
                wrong.push(format!("{}:{}", source.path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "use crate::timer: {wrong:?}");
}

#[test]
fn every_module_is_in_a_layer() {
    let unknown: Vec<String> = sources()
        .iter()
        .filter(|source| layer(&source.module).is_none())
        .map(|source| source.module.clone())
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn groups_of_imports_are_written_out() {
    let code = "use crate::a;\nuse crate::{b::{c, d::E}, f};\nlet x: crate::g::H = y; my_crate::z;";
    assert_eq!(imports(code), ["a", "b::c", "b::d::E", "f", "g::H"]);
}

#[test]
fn the_table_refuses_what_it_should() {
    for (from, to) in [
        ("wire::buffer", "sql"),
        ("wire", "pool::state"),
        ("pool::state", "pool::lease::Lease"),
        ("server::conn", "client::Conn"),
        ("pool", "session"),
        ("pool", "client::Conn"),
        ("tls", "net"),
        ("session::run", "admin"),
        ("config", "wire"),
    ] {
        assert!(forbidden(from, to).is_some(), "{from} -> {to}");
    }
    for (from, to) in [
        ("pool::state", "config::Settings"),
        ("pool::lease", "pool::state"),
        ("net", "tls"),
        ("session::machine", "route::Route"),
        ("session::run", "pool::Lease"),
        ("client::conn", "client::handshake"),
        ("app", "worker"),
        ("client::handshake", "auth::scram_server"),
        ("server::conn", "pool::state::Place"),
    ] {
        assert_eq!(forbidden(from, to), None, "{from} -> {to}");
    }
    assert!(forbidden("pool", "elsewhere").is_some());
}
