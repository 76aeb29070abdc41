//! Reading and showing of each kind of value.

use proptest::prelude::*;

use super::read::whole;
use super::*;

fn how(dialect: Dialect, whole_seconds: bool) -> Reading<'static> {
    Reading {
        dialect,
        whole_seconds,
        base: Path::new("/base"),
    }
}

fn bare(text: &str) -> Raw {
    Raw::Bare(text.to_owned().into())
}

fn quoted(text: &str) -> Raw {
    Raw::Text(text.to_owned().into())
}

fn int(value: i64) -> Raw {
    Raw::Int {
        value,
        octal: false,
    }
}

#[test]
fn whole_numbers_that_pgbouncer_would_misread_are_refused() {
    for text in [
        "abc",
        "1.5",
        "500ms",
        "",
        "-",
        "1 2",
        "0x",
        "0xg",
        "+1",
        "010",
        "99999999999999999999",
    ] {
        assert!(whole(&bare(text)).is_err(), "{text}");
    }
    for (text, value) in [("0", 0), ("20", 20), ("-1", -1), ("0x10", 16)] {
        assert_eq!(whole(&bare(text)), Ok(value), "{text}");
    }
    assert!(whole(&quoted("20")).is_err());
    assert!(whole(&Raw::Float(20.0)).is_err());
    assert_eq!(count(&int(5), 1, 5), Ok(5));
    assert!(count(&int(6), 1, 5).is_err());
    assert!(count(&int(0), 1, 5).is_err());
    assert!(count(&int(-1), 0, 5).is_err());
    assert!(count(&int(1 << 40), 0, u32::MAX).is_err());
}

#[test]
fn booleans() {
    for (raw, value) in [
        (Raw::Bool(true), true),
        (int(0), false),
        (int(1), true),
        (bare("1"), true),
        (bare("off"), false),
        (bare("Yes"), true),
    ] {
        assert_eq!(boolean(&raw), Ok(value), "{raw:?}");
    }
    for raw in [int(2), quoted("true"), bare("2"), bare(""), Raw::Float(1.0)] {
        assert!(boolean(&raw).is_err(), "{raw:?}");
    }
}

#[test]
fn durations_by_dialect() {
    let toml = how(Dialect::Toml, false);
    let ini = how(Dialect::Ini, false);
    let scoped = how(Dialect::Ini, true);
    let millis = |n| Ok(Duration::from_millis(n));
    assert_eq!(duration(&int(5), SECOND, toml), millis(5000));
    assert_eq!(duration(&Raw::Float(0.5), SECOND, toml), millis(500));
    assert_eq!(duration(&quoted("500ms"), SECOND, toml), millis(500));
    assert_eq!(duration(&int(5), MILLISECOND, toml), millis(5));
    assert_eq!(duration(&quoted("5s"), MILLISECOND, toml), millis(5000));
    assert_eq!(duration(&bare("1.5"), SECOND, ini), millis(1500));
    assert_eq!(duration(&bare("2"), SECOND, scoped), millis(2000));
    assert!(duration(&bare("1.5"), SECOND, scoped).is_err());
    let why = duration(&bare("500ms"), SECOND, ini).expect_err("a unit");
    assert!(why.contains("write 0.5"), "{why}");
    for raw in [quoted("5"), int(-1), Raw::Float(f64::NAN), Raw::Bool(true)] {
        assert!(duration(&raw, SECOND, toml).is_err(), "{raw:?}");
    }
    assert!(duration(&bare("-1"), SECOND, ini).is_err());
}

#[test]
fn modes_are_octal() {
    assert_eq!(mode(&bare("0777")), Ok(0o777));
    assert_eq!(mode(&quoted("0700")), Ok(0o700));
    let octal = Raw::Int {
        value: 0o770,
        octal: true,
    };
    assert_eq!(mode(&octal), Ok(0o770));
    for raw in [int(777), bare("0888"), bare("1777"), bare(""), bare("-1")] {
        assert!(mode(&raw).is_err(), "{raw:?}");
    }
}

#[test]
fn lists_and_words() {
    assert_eq!(names(&bare("a, b,,c ")).expect("a list"), ["a", "b", "c"]);
    let list = Raw::List(vec![quoted("a"), quoted("b")]);
    assert_eq!(names(&list).expect("a list"), ["a", "b"]);
    assert!(names(&Raw::List(vec![int(1)])).is_err());
    assert_eq!(pool_mode(&bare("statement")), Ok(PoolMode::Statement));
    let why = pool_mode(&bare("transactoin")).expect_err("a slip");
    assert!(why.contains("did you mean \"transaction\""), "{why}");
    assert_eq!(auth_type(&bare("pam")), Ok(AuthType::Pam));
    assert!(auth_type(&bare("gss")).is_err());
}

#[test]
fn protocols() {
    assert_eq!(tls_versions(&bare("secure")), Ok(TlsVersions::Secure));
    assert_eq!(tls_versions(&bare("tlsv1.3")), Ok(TlsVersions::Only13));
    assert_eq!(tls_versions(&bare("tlsv1.2")), Ok(TlsVersions::Only12));
    let both = tls_versions(&bare("tlsv1.2,tlsv1.3"));
    assert_eq!(both, Ok(TlsVersions::Secure));
    for text in ["", "all", "tlsv1.0", "tls"] {
        assert!(tls_versions(&bare(text)).is_err(), "{text}");
    }
}

#[test]
fn where_to_listen() {
    assert_eq!(addresses(&bare("")), Ok(vec![]));
    assert_eq!(
        addresses(&bare("*, 127.0.0.1, 0.0.0.0"))
            .expect("addresses")
            .len(),
        3
    );
    let local = addresses(&bare("localhost")).expect("every machine has it");
    assert!(local.iter().all(IpAddr::is_loopback) && !local.is_empty());
    assert!(addresses(&bare("no such name")).is_err());
    let at = |text| {
        http_address(&bare(text))
            .expect("an address")
            .map(|a| a.to_string())
    };
    assert_eq!(at("[::1]:80").as_deref(), Some("[::1]:80"));
    assert_eq!(at(""), None);
    for text in ["127.0.0.1", ":80", "127.0.0.1:x"] {
        assert!(http_address(&bare(text)).is_err(), "{text}");
    }
}

#[test]
fn session_parameters() {
    let place = |name: &str| {
        (
            name.to_owned(),
            quoted("v"),
            crate::config::document::Place::default(),
        )
    };
    let mut all = Vec::new();
    params(
        &mut all,
        &Raw::Table(vec![place("TimeZone"), place("my.own")]),
    )
    .expect("parameters");
    assert_eq!(all.len(), 2);
    let why = set_param(&mut all, "timezone", "x".into()).expect_err("twice");
    assert!(why.contains("twice"));
    for name in ["", "a b", "a=b", "a\0"] {
        assert!(set_param(&mut all, name, "x".into()).is_err(), "{name}");
    }
}

#[test]
fn files_start_at_the_base() {
    let file: Field<Option<PathBuf>> = Field::File(|t| t);
    let mut path = None;
    let how = how(Dialect::Toml, false);
    file.read(&mut path, &quoted("users.txt"), how)
        .expect("a file");
    assert_eq!(path.as_deref(), Some(Path::new("/base/users.txt")));
    file.read(&mut path, &quoted("/etc/users"), how)
        .expect("a file");
    assert_eq!(path.as_deref(), Some(Path::new("/etc/users")));
    file.read(&mut path, &quoted(""), how).expect("none");
    assert_eq!(path, None);
}

#[test]
fn a_check_query_can_be_none_empty_or_text() {
    let field: Field<Option<String>> = Field::CheckQuery(|t| t);
    for (text, value) in [
        ("", None),
        ("<empty>", Some("")),
        ("select 1", Some("select 1")),
    ] {
        let mut query = None;
        field
            .read(&mut query, &bare(text), how(Dialect::Ini, false))
            .expect("a query");
        assert_eq!(query.as_deref(), value);
        assert_eq!(field.show(&mut query), text);
    }
}

#[test]
fn passwords_are_never_shown() {
    let field: Field<Option<Secret>> = Field::Password(|t| t);
    let mut secret = None;
    let how = how(Dialect::Toml, false);
    field
        .read(&mut secret, &quoted("hidden"), how)
        .expect("a password");
    assert_eq!(secret.as_ref().map(Secret::expose), Some("hidden"));
    assert_eq!(field.show(&mut secret), "");
    let why = field
        .read(&mut secret, &int(4711), how)
        .expect_err("not text");
    assert!(!why.contains("4711"));
    assert!(!format!("{:?}", quoted("hidden")).contains("hidden"));
}

proptest! {
    #[test]
    fn any_value_is_read_or_refused(text in ".{0,30}", number: i64, float: f64) {
        let ini = how(Dialect::Ini, false);
        for raw in [bare(&text), quoted(&text), int(number), Raw::Float(float)] {
            let _ = whole(&raw);
            let _ = boolean(&raw);
            let _ = size(&raw, 0, u64::MAX);
            let _ = duration(&raw, SECOND, ini);
            let _ = mode(&raw);
            let _ = names(&raw);
            let _ = tls_versions(&raw);
        }
    }

    #[test]
    fn whole_numbers_read_as_they_are_written(value: i64) {
        prop_assert_eq!(whole(&bare(&value.to_string())), Ok(value));
    }
}
