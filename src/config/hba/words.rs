//! Cuts lines of `pg_hba.conf` and `pg_ident.conf` into words.

/// A word of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Without its quotes.
    pub(super) text: String,
    /// It was in double quotes: no keyword.
    pub(super) quoted: bool,
}

type Fields = Result<Vec<Vec<Word>>, String>;

/// The fields of each line with its number from 1; a field is a list with commas. Comments begin with
/// `#`; a line that ends with a backslash goes on in the next.
pub(super) fn words(text: &str) -> Vec<(u32, Fields)> {
    let mut out = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match lines.next() {
                Some((next, _)) => whole.push_str(next),
                None => break,
            }
        }
        out.push((number, fields(&whole)));
    }
    out
}

fn fields(line: &str) -> Fields {
    let mut fields: Vec<Vec<Word>> = Vec::new();
    let mut rest = line.trim_start();
    // The last field goes on behind a comma.
    let mut goes_on = false;
    while !rest.is_empty() && !rest.starts_with('#') {
        if let Some(behind) = rest.strip_prefix(',') {
            goes_on = true;
            rest = behind.trim_start();
            continue;
        }
        let (word, behind) = word(rest)?;
        match fields.last_mut() {
            Some(last) if goes_on => last.push(word),
            _ => fields.push(vec![word]),
        }
        goes_on = false;
        rest = behind.trim_start();
    }
    match goes_on {
        true => Err("a list ends with a comma".to_owned()),
        false => Ok(fields),
    }
}

/// The first word of a text and what is behind it.
fn word(text: &str) -> Result<(Word, &str), String> {
    let mut out = String::new();
    let mut quoted = text.starts_with('"');
    let (mut inside, mut end) = (false, text.len());
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if inside && chars.peek().is_some_and(|&(_, next)| next == '"') => {
                chars.next();
                out.push('"');
            }
            '"' => inside = !inside,
            ',' | '#' if !inside => {
                end = at;
                break;
            }
            c if c.is_whitespace() && !inside => {
                end = at;
                break;
            }
            c => out.push(c),
        }
    }
    if inside {
        return Err("a quote is not closed".to_owned());
    }
    // `map="a b"` is no quoted word.
    quoted &= !out.is_empty() || text.starts_with("\"\"");
    let behind = text.get(end..).unwrap_or_default();
    Ok((Word { text: out, quoted }, behind))
}

#[cfg(test)]
mod tests {
    use super::words;

    /// The words of a text, those in quotes with them; lists joined by `|`.
    fn said(text: &str) -> Vec<(u32, Option<Vec<String>>)> {
        let plain = |word: super::Word| match word.quoted {
            true => format!("\"{}\"", word.text),
            false => word.text,
        };
        let field = |field: Vec<super::Word>| -> String {
            field.into_iter().map(plain).collect::<Vec<_>>().join("|")
        };
        (words(text).into_iter())
            .map(|(number, fields)| {
                (
                    number,
                    fields.ok().map(|all| all.into_iter().map(field).collect()),
                )
            })
            .collect()
    }

    #[test]
    fn words_lists_quotes_and_comments() {
        let line = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(
            said("local a,b , c \"all\" # x\n\nhost \\\n all map=\"a b\"\n"),
            [
                (1, line(&["local", "a|b|c", "\"all\""])),
                (2, line(&[])),
                (3, line(&["host", "all", "map=a b"])),
            ]
        );
        assert_eq!(said("\"a"), [(1, None)]);
        assert_eq!(said("a,"), [(1, None)]);
    }
}
