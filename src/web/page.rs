//! The page at `/`: files that are part of the program, sent as they are.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::reply::{Body, text, with_type};

/// One file.
pub struct Asset {
    /// Its path.
    pub path: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// What is in it.
    pub content: &'static str,
}

const fn asset(path: &'static str, kind: &'static str, content: &'static str) -> Asset {
    Asset {
        path,
        kind,
        content,
    }
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// All files. `uplot.js` and `uplot.css` are those of uPlot 1.6.32 as published, under the licence in
/// `uplot.LICENSE`; the rest is pgweir's own.
pub const ASSETS: &[Asset] = &[
    asset("/", HTML, include_str!("assets/index.html")),
    asset("/assets/app.js", SCRIPT, include_str!("assets/app.js")),
    asset("/assets/dom.js", SCRIPT, include_str!("assets/dom.js")),
    asset("/assets/lists.js", SCRIPT, include_str!("assets/lists.js")),
    asset("/assets/locks.js", SCRIPT, include_str!("assets/locks.js")),
    asset(
        "/assets/mirrors.js",
        SCRIPT,
        include_str!("assets/mirrors.js"),
    ),
    asset("/assets/plots.js", SCRIPT, include_str!("assets/plots.js")),
    asset("/assets/views.js", SCRIPT, include_str!("assets/views.js")),
    asset("/assets/style.css", STYLE, include_str!("assets/style.css")),
    asset("/assets/uplot.js", SCRIPT, include_str!("assets/uplot.js")),
    asset("/assets/uplot.css", STYLE, include_str!("assets/uplot.css")),
    asset(
        "/assets/uplot.LICENSE",
        "text/plain; charset=utf-8",
        include_str!("assets/uplot.LICENSE"),
    ),
    asset(
        "/assets/icon.svg",
        "image/svg+xml",
        include_str!("assets/icon.svg"),
    ),
];

/// What browsers may do with it: run and show our own files, ask us, and nothing else. No page may
/// put it into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at `path`, if there is one.
pub(super) fn find(path: &str) -> Option<Response<Body>> {
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    let mut response = with_type(text(StatusCode::OK, asset.content), asset.kind);
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a statement or an application's name holds must stay text, and nothing may be fetched
    /// from elsewhere.
    #[test]
    fn our_scripts_make_no_markup_of_data_and_ask_nobody_else() {
        for asset in ASSETS.iter().filter(|asset| !asset.path.contains("uplot")) {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "DOMParser",
                "setAttribute(\"on",
                "javascript:",
                "style=",
                "onclick=\"",
                "https://",
                "//cdn",
            ] {
                assert!(!asset.content.contains(word), "{}: {word}", asset.path);
            }
        }
        let outside = "http://";
        for asset in ASSETS.iter().filter(|asset| !asset.path.contains("uplot")) {
            // The name of SVG's elements is no address.
            let content = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!content.contains(outside), "{}", asset.path);
        }
    }

    #[test]
    fn what_the_page_names_is_there() {
        let there = |path: &str| ASSETS.iter().any(|asset| asset.path == format!("/{path}"));
        for asset in ASSETS {
            let names = asset
                .content
                .split('"')
                .filter(|name| name.starts_with("assets/"));
            for name in names {
                assert!(there(name), "{}: {name}", asset.path);
            }
            if asset.kind == SCRIPT && !asset.path.contains("uplot") {
                let imports = asset.content.split(" from \"./").skip(1);
                for name in imports.filter_map(|rest| rest.split('"').next()) {
                    assert!(there(&format!("assets/{name}")), "{}: {name}", asset.path);
                }
            }
        }
        let licence = ASSETS
            .iter()
            .find(|asset| asset.path.ends_with("uplot.LICENSE"));
        let text = licence.map(|asset| asset.content).unwrap_or_default();
        assert!(text.contains("The MIT License") && text.contains("Leon Sorokin"));
    }
}
