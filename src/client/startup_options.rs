//! The `options` of a StartupMessage: a command line for the server, of which settings are
//! understood.

/// Why `options` are refused; the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A switch that does not set a parameter.
    #[error(
        "unsupported startup option \"{0}\"; only -c name=value and --name=value are understood"
    )]
    Unsupported(String),
    /// A switch for a parameter without name or value.
    #[error("invalid startup option \"{0}\"; write -c name=value or --name=value")]
    NoValue(String),
}

/// Reads `-c name=value`, `-cname=value` and `--name=value`, in order. Dashes in names become
/// underscores, and a backslash takes the next character as it is.
///
/// With `ignore_unsupported`, what is not understood is skipped instead. Takes time in proportion
/// to the length of `text`, whatever it is.
///
/// Errors: [`OptionsError`].
///
/// Source: PostgreSQL, `pg_split_opts`, `ParseLongOption`; libpq, `options`.
pub fn parse(text: &str, ignore_unsupported: bool) -> Result<Vec<(String, String)>, OptionsError> {
    let mut settings = Vec::new();
    let mut words = split(text).into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            match words.next() {
                Some(argument) => assignment(&argument).ok_or(OptionsError::NoValue(argument)),
                None => Err(OptionsError::NoValue(word)),
            }
        } else if let Some(argument) = word
            .strip_prefix("--")
            .filter(|rest| !rest.is_empty())
            .or_else(|| word.strip_prefix("-c"))
        {
            assignment(argument).ok_or_else(|| OptionsError::NoValue(word.clone()))
        } else {
            Err(OptionsError::Unsupported(word))
        };
        match setting {
            Ok(setting) => settings.push(setting),
            Err(_) if ignore_unsupported => {}
            Err(error) => return Err(error.shortened()),
        }
    }
    Ok(settings)
}

impl OptionsError {
    /// Keeps the message short whatever the client sent.
    fn shortened(self) -> Self {
        let cut = |text: String| {
            if text.chars().count() > 64 {
                let mut short: String = text.chars().take(64).collect();
                short.push('…');
                short
            } else {
                text
            }
        };
        match self {
            OptionsError::Unsupported(text) => OptionsError::Unsupported(cut(text)),
            OptionsError::NoValue(text) => OptionsError::NoValue(cut(text)),
        }
    }
}

/// `name=value` with a name that is not empty.
fn assignment(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    (!name.is_empty()).then(|| (name.replace('-', "_"), value.to_owned()))
}

/// Cuts at white space that no backslash protects. A backslash at the very end stands for nothing.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match c {
            '\\' => word.extend(chars.next()),
            c => word.push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strict(text: &str) -> Result<Vec<(String, String)>, OptionsError> {
        parse(text, false)
    }

    #[test]
    fn every_form_of_a_setting() {
        let pairs = |text: &str| {
            strict(text)
                .unwrap()
                .into_iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(pairs(""), Vec::<String>::new());
        assert_eq!(pairs(" \t\n "), Vec::<String>::new());
        assert_eq!(pairs("-c a=b"), ["a=b"]);
        assert_eq!(pairs("-ca=b -c  c=d"), ["a=b", "c=d"]);
        assert_eq!(pairs("--a-b=c-d"), ["a_b=c-d"]);
        assert_eq!(pairs("-c search_path=a,b"), ["search_path=a,b"]);
        assert_eq!(pairs(r"-c a=x\ y"), ["a=x y"]);
        assert_eq!(pairs(r"-c a=\\"), [r"a=\"]);
        assert_eq!(pairs("-c a="), ["a="]);
        assert_eq!(pairs("-c a=b=c"), ["a=b=c"]);
        assert_eq!(pairs(r"-c a=b\"), ["a=b"]);
    }

    #[test]
    fn odd_forms_are_refused() {
        for bad in [
            "-c", "-c=", "-c =", "--=", "-c a", "--a", "-ca", "-c -c", r"-c \",
        ] {
            assert!(
                matches!(strict(bad), Err(OptionsError::NoValue(_))),
                "{bad}: {:?}",
                strict(bad)
            );
            assert_eq!(parse(bad, true), Ok(Vec::new()), "{bad}");
        }
        for bad in ["--", "-", "-e", "-d 5", "x=y", r"\", r"\ "] {
            assert!(
                matches!(strict(bad), Err(OptionsError::Unsupported(_))),
                "{bad}: {:?}",
                strict(bad)
            );
        }
        assert_eq!(
            parse("-e -c a=b -d", true),
            Ok(vec![("a".to_owned(), "b".to_owned())])
        );
    }

    #[test]
    fn long_input_is_quick_and_its_error_short() {
        let begin = std::time::Instant::now();
        assert_eq!(strict(&" ".repeat(64 << 10)), Ok(Vec::new()));
        assert!(strict(&"\\".repeat(64 << 10)).is_err());
        assert!(strict(&"-c = ".repeat(16 << 10)).is_err());
        assert!(parse(&"-c = ".repeat(16 << 10), true).unwrap().is_empty());
        let error = strict(&"x".repeat(64 << 10)).unwrap_err().to_string();
        assert!(error.len() < 300);
        assert!(begin.elapsed().as_secs() < 5);
    }

    proptest! {
        #[test]
        fn escaped_values_come_back(name in "[a-z_.]{1,10}", value in "[ -~\\t]{0,30}") {
            let escaped: String = value.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert_eq!(
                strict(&format!("-c {name}={escaped}")),
                Ok(vec![(name, value)])
            );
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,100}") {
            let _ = strict(&text);
            let _ = parse(&text, true);
        }
    }
}
