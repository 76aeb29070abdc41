//! What an application says in the comments of its statements: tags in the form of sqlcommenter,
//! trace and request ids, and which rules it wants to hear nothing of.
//!
//! Comments are read from the token stream, so nothing in a string is taken for one.

use crate::sql::{self, Lexing};

use super::rule::{Class, Rule};

/// Most tags of one text that are kept.
const MOST: usize = 64;
/// A longer comment is no tag but prose, or an attack on our time.
const LONGEST: usize = 16 * 1024;

/// Tags that name the request, where there is no `traceparent`.
const REQUEST_KEYS: [&str; 3] = ["request_id", "correlation_id", "job_id"];

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// There are any.
    pub present: bool,
    /// `key='url-encoded value'`, `key=value` or `key:value`, in order, values decoded.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// Rules of `lint:ignore=a,b` and `lint_ignore='a%2Cb'`; `*` is all of them.
    pub ignore: Vec<Box<str>>,
    /// Why: `reason='…'` in the comment that holds an ignore.
    pub reason: Option<Box<str>>,
}

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace; never 0.
    pub trace: u128,
    /// The application's span that the statement belongs to.
    pub span: u64,
    /// Whether the application records the trace.
    pub sampled: bool,
}

impl Comments {
    /// The value of the first tag of this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.tags
            .iter()
            .find(|(name, _)| &**name == key)
            .map(|(_, value)| &**value)
    }

    /// The trace id of `traceparent` (`00-TRACE-SPAN-FLAGS`), 32 hexadecimal digits. Never the span
    /// id, which changes with every statement.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent()?;
        self.get("traceparent")?.split('-').nth(1)
    }

    /// All that `traceparent` says. `None` if there is none, or one that means nothing.
    ///
    /// Source: W3C, Trace Context.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        let mut parts = self.get("traceparent")?.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next()?;
            let is_hex = part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
            u128::from_str_radix(part, 16).ok().filter(|_| is_hex)
        };
        let (version, trace, span) = (hex(2)?, hex(32)?, hex(16)?);
        // Without flags, or with others than we know, nothing is said about sampling.
        let flags = hex(2).unwrap_or(0);
        (version != 0xff && trace != 0).then_some(Traceparent {
            trace,
            span: u64::try_from(span).unwrap_or(0),
            sampled: flags & 1 == 1,
        })
    }

    /// What tells one request's statements from another's: the trace id, else `request_id`,
    /// `correlation_id` or `job_id`.
    #[must_use]
    pub fn request(&self) -> Option<&str> {
        self.trace_id()
            .or_else(|| REQUEST_KEYS.into_iter().find_map(|key| self.get(key)))
    }

    /// Whether the comments ask for silence about this rule. Rules about security are not asked
    /// this way: whoever can write the statement could write the comment.
    #[must_use]
    pub fn ignores(&self, rule: &Rule) -> bool {
        rule.class != Class::Security
            && (self.ignore.iter()).any(|name| &**name == "*" || &**name == rule.id)
    }
}

/// What the comments of a statement ask to keep silent about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Names of rules; `*` is all of them but those about security.
    pub rules: Vec<Box<str>>,
    /// Why; empty if the comment gives no reason.
    pub reason: Box<str>,
    /// Rules about security are silenced too where they are named.
    pub security: bool,
}

impl Silence {
    /// What these comments ask for, if it is anything. With `security` rules about security that
    /// they name are silenced too.
    #[must_use]
    pub fn of(comments: &Comments, security: bool) -> Option<Silence> {
        (!comments.ignore.is_empty()).then(|| Silence {
            rules: comments.ignore.clone(),
            reason: comments.reason.clone().unwrap_or_default(),
            security,
        })
    }

    /// Both together; the reason is this one's.
    #[must_use]
    pub fn with(&self, other: &Silence) -> Silence {
        let rules = self.rules.iter().chain(&other.rules);
        Silence {
            rules: rules.cloned().collect(),
            ..self.clone()
        }
    }

    /// Whether it is about this rule. What security may not be asked is decided here.
    #[must_use]
    pub fn covers(&self, rule: &Rule) -> bool {
        let named = self.rules.iter().any(|name| **name == *rule.id);
        match rule.class {
            Class::Security => self.security && named,
            _ => named || self.rules.iter().any(|name| **name == *"*"),
        }
    }
}

/// Reads the comments of a text. Costs next to nothing if there are none.
#[must_use]
pub fn read(text: &[u8], lexing: Lexing) -> Comments {
    let mut found = Comments::default();
    for (start, end) in sql::comments(text, lexing) {
        found.present = true;
        let body = text
            .get(start as usize + 2..end as usize)
            .unwrap_or_default();
        let body = body.strip_suffix(b"*/").unwrap_or(body);
        if body.len() <= LONGEST && !body.starts_with(b"+") {
            one(&String::from_utf8_lossy(body), &mut found);
        }
    }
    found
}

/// One comment without its marks.
fn one(body: &str, found: &mut Comments) {
    let ignored = found.ignore.len();
    let tagged = found.tags.len();
    let mut rest = body;
    while found.tags.len() < MOST {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | '*' | ';'));
        if rest.is_empty() {
            break;
        }
        if let Some(list) = rest.strip_prefix("lint:ignore=") {
            rest = ignore(list, &mut found.ignore);
            continue;
        }
        let key_len = rest.find(|c: char| !is_key(c)).unwrap_or(rest.len());
        let (key, behind) = rest.split_at(key_len);
        let Some(value) = behind.strip_prefix(['=', ':']).filter(|_| key_len > 0) else {
            // Not a tag: on to the next word.
            let skip = behind.chars().next().map_or(0, char::len_utf8);
            rest = &behind[skip..];
            continue;
        };
        let (value, behind) = one_value(value);
        rest = behind;
        if key == "lint_ignore" {
            names(&value, &mut found.ignore);
        } else if !value.is_empty() {
            found.tags.push((decoded(key).into(), value.into()));
        }
    }
    if found.ignore.len() > ignored && found.reason.is_none() {
        found.reason = (found.tags[tagged..].iter())
            .find(|(key, _)| &**key == "reason")
            .map(|(_, value)| value.clone());
    }
}

fn is_key(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '%')
}

/// A value and what is behind it.
fn one_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('\'') else {
        let len = text
            .find(|c: char| c.is_whitespace() || c == ',')
            .unwrap_or(text.len());
        return (text[..len].to_owned(), &text[len..]);
    };
    let mut raw = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return (decoded(&raw), &quoted[at + 1..]),
            // sqlcommenter puts a backslash before what would end the value.
            '\\' => raw.extend(chars.next().map(|(_, c)| c)),
            c => raw.push(c),
        }
    }
    (decoded(&raw), "")
}

/// The list of `lint:ignore=`; gives what is behind it. A blank may follow a comma, and ends the list
/// otherwise.
fn ignore<'a>(list: &'a str, found: &mut Vec<Box<str>>) -> &'a str {
    if list.starts_with('\'') {
        let (value, rest) = one_value(list);
        names(&value, found);
        return rest;
    }
    let mut rest = list;
    loop {
        let len = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '=' | ':' | ';'))
            .unwrap_or(rest.len());
        let (value, behind) = rest.split_at(len);
        if behind.starts_with(['=', ':']) {
            // The next tag, behind a comma: `lint:ignore=a,controller='x'`.
            let (last, key) = value.rsplit_once(',').unwrap_or(("", value));
            names(last, found);
            return &rest[value.len() - key.len()..];
        }
        names(value, found);
        rest = behind.trim_start();
        if !value.ends_with(',') || rest.is_empty() {
            return behind;
        }
    }
}

fn names(list: &str, found: &mut Vec<Box<str>>) {
    let list = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    found.extend(list.take(MOST).map(Box::from));
}

/// With `%41` as `A`.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = match bytes.get(at..at + 3) {
            Some(&[b'%', high, low]) => digit(high).zip(digit(low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comments(text: &str) -> Comments {
        read(text.as_bytes(), Lexing::default())
    }

    fn tags(text: &str) -> Vec<(String, String)> {
        let tags = comments(text).tags;
        tags.into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect()
    }

    fn pairs<const N: usize>(list: [(&str, &str); N]) -> Vec<(String, String)> {
        list.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec()
    }

    fn ignored(text: &str) -> Vec<String> {
        comments(text)
            .ignore
            .into_iter()
            .map(String::from)
            .collect()
    }

    #[test]
    fn three_spellings() {
        assert_eq!(
            tags("SELECT 1 /*controller='posts',action='a%2Cb%27s'*/"),
            pairs([("controller", "posts"), ("action", "a,b's")])
        );
        assert_eq!(
            tags("SELECT 1 /* app=shop,job_id=7 line:/x/y.rb:3 */"),
            pairs([("app", "shop"), ("job_id", "7"), ("line", "/x/y.rb:3")])
        );
        assert_eq!(
            tags("SELECT 1 /*application:Shop,controller:users*/"),
            pairs([("application", "Shop"), ("controller", "users")])
        );
        assert_eq!(tags(r"SELECT 1 -- key='it\'s'"), pairs([("key", "it's")]));
        assert_eq!(
            tags("/*a='1'*/ SELECT /*b=2*/ 1"),
            pairs([("a", "1"), ("b", "2")])
        );
    }

    #[test]
    fn prose_and_hints_say_nothing() {
        for text in [
            "/* all the rows, of course */ SELECT 1",
            "/*+ SeqScan(t) a=1 */ SELECT 1",
            "SELECT 1 -- TODO: x =",
            "SELECT '/*a=1*/'",
            "SELECT 1",
            "/*",
        ] {
            let found = comments(text);
            assert_eq!(
                found.present,
                text.starts_with('/') || text.contains("--"),
                "{text}"
            );
            let nothing = Comments {
                present: found.present,
                ..Comments::default()
            };
            assert_eq!(found, nothing, "{text}");
        }
    }

    #[test]
    fn the_trace_and_not_the_span() {
        let text = "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',request_id='x'*/";
        assert_eq!(
            comments(text).trace_id(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(
            comments(text).request(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        let parent = Traceparent {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0x00f0_67aa_0ba9_02b7,
            sampled: true,
        };
        assert_eq!(comments(text).traceparent(), Some(parent));
        let unsampled = comments(&text.replace("b7-01", "b7-02")).traceparent();
        assert_eq!(unsampled.map(|parent| parent.sampled), Some(false));
        assert_eq!(comments("SELECT 1 /*request_id=x*/").request(), Some("x"));
        for wrong in [
            "00-1-2-3",
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "é",
        ] {
            assert_eq!(
                comments(&format!("SELECT 1 /*traceparent='{wrong}'*/")).trace_id(),
                None,
                "{wrong}"
            );
        }
    }

    #[test]
    fn rules_to_be_silent_about() {
        assert_eq!(
            ignored("/* lint:ignore=select-star,deep-offset reason='CSV export' */ SELECT 1"),
            ["select-star", "deep-offset"]
        );
        assert_eq!(
            comments("/* lint:ignore=a reason='CSV export' */ SELECT 1")
                .reason
                .as_deref(),
            Some("CSV export")
        );
        assert_eq!(
            ignored("SELECT 1 /*lint_ignore='select-star%2Cdeep-offset',controller='exports'*/"),
            ["select-star", "deep-offset"]
        );
        assert_eq!(
            tags("SELECT 1 /*lint_ignore='a',controller='exports'*/"),
            pairs([("controller", "exports")])
        );
        assert_eq!(
            ignored("-- lint:ignore=missing-where\nDELETE FROM t"),
            ["missing-where"]
        );
        assert_eq!(
            ignored("-- lint:ignore=a, b because\nDELETE FROM t"),
            ["a", "b"]
        );
        assert_eq!(ignored("/* lint:ignore=a,b=c */ DELETE FROM t"), ["a"]);
        assert_eq!(ignored("/* lint:ignore='a,b' */ DELETE FROM t"), ["a", "b"]);
        assert_eq!(ignored("SELECT '/* lint:ignore=a */'"), [""; 0]);
        assert_eq!(ignored("/* lint:ignore= */ SELECT 1"), [""; 0]);
        assert_eq!(ignored("/* lint:ignore=*/ SELECT 1"), [""; 0]);
    }

    #[test]
    fn everything_but_security() {
        let all = comments("/* lint:ignore=* */ DELETE FROM t");
        for rule in crate::lint::registry::all() {
            assert_eq!(
                all.ignores(rule),
                rule.class != Class::Security,
                "{}",
                rule.id
            );
        }
        let other = comments("/* lint:ignore=other */ DELETE FROM t");
        assert!(!other.ignores(&crate::lint::rules::filter::MISSING_WHERE));
    }

    #[test]
    fn silence_reaches_rules_about_security_only_by_name_and_leave() {
        let rule = |id: &str| crate::lint::registry::find(id).expect("a rule");
        let covers = |text: &str, id: &str, security: bool| {
            Silence::of(&comments(text), security).is_some_and(|silence| silence.covers(rule(id)))
        };
        let (one, all) = (
            "SELECT 1 /* lint:ignore=n-plus-one */",
            "SELECT 1 /* lint:ignore=* */",
        );
        assert!(covers(one, "n-plus-one", false) && covers(all, "n-plus-one", false));
        assert!(!covers(one, "long-transaction", false));
        let named = "SELECT 1 /* lint:ignore=bulk-sensitive-read */";
        let sensitive = "bulk-sensitive-read";
        assert!(covers(named, sensitive, true) && !covers(named, sensitive, false));
        assert!(!covers(all, sensitive, true), "it has to be named");
        assert_eq!(Silence::of(&comments("SELECT 1 /* a */"), true), None);
    }

    #[test]
    fn any_bytes_are_read_to_the_end() {
        for text in [
            &b"/*\xff=\xfe*/"[..],
            b"/*a=%*/",
            b"/*a='%4",
            b"/*='x'*/",
            b"/*:*/",
            b"/*a=%ff%00*/",
            b"--lint:ignore=,\xe2\x80",
        ] {
            let _ = read(text, Lexing::default());
        }
        let many: String = (0..1000).map(|n| format!("k{n}=1,")).collect();
        assert_eq!(comments(&format!("/*{many}*/")).tags.len(), MOST);
    }
}
