//! The password file of PostgreSQL's own programs.
//!
//! Source: PostgreSQL documentation, libpq, "The Password File".

use crate::config::Secret;

/// Longest file that is read, in bytes.
pub const LONGEST: u64 = 1 << 20;

/// The password of the first line of `file` that fits.
pub fn find(file: &str, wanted: [&str; 4]) -> Option<Secret> {
    file.lines().find_map(|line| {
        if line.starts_with('#') {
            return None;
        }
        let (fields, password) = fields(line)?;
        let fits = fields.iter().zip(wanted);
        (fits.into_iter())
            .all(|(field, wanted)| field.raw == "*" || field.value == wanted)
            .then_some(password)
            .filter(|password| !password.expose().is_empty())
    })
}

#[derive(Default)]
struct Field {
    /// As it is written: only a bare asterisk fits everything.
    raw: String,
    value: String,
}

/// Host, port, database and user of a line, and its password.
fn fields(line: &str) -> Option<([Field; 4], Secret)> {
    let mut fields: [Field; 4] = Default::default();
    let (mut at, mut password) = (0, zeroize::Zeroizing::new(String::new()));
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let (value, escaped) = match character {
            '\\' => (characters.next().unwrap_or('\\'), true),
            ':' => {
                // The password ends here too; libpq passes over what follows.
                at += 1;
                continue;
            }
            other => (other, false),
        };
        match fields.get_mut(at) {
            Some(field) => {
                if escaped {
                    field.raw.push('\\');
                }
                field.raw.push(value);
                field.value.push(value);
            }
            None if at == 4 => password.push(value),
            None => {}
        }
    }
    (at >= 4).then(|| (fields, Secret::new(password.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits() {
        let file = "# a comment\nbroken\nother:*:*:*:no\nh:6432:pgweir:me:\nh:6432:pgweir:me:one\n*:*:*:me:two\n*:*:*:o\\:dd:a\\:b\\\\c\n*:*:*:\\*:star\n";
        let of = |wanted| find(file, wanted).map(|found| found.expose().to_owned());
        assert_eq!(of(["h", "6432", "pgweir", "me"]).as_deref(), Some("one"));
        assert_eq!(of(["h", "6433", "pgweir", "me"]).as_deref(), Some("two"));
        assert_eq!(of(["h", "1", "x", "o:dd"]).as_deref(), Some("a:b\\c"));
        assert_eq!(of(["h", "1", "x", "*"]).as_deref(), Some("star"));
        assert_eq!(of(["h", "1", "x", "you"]), None);
    }
}
