//! The end of the audit trail.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::{Map, Value};

use super::fields::AUDIT;

/// Bytes at the end of the file that are looked at.
const MOST: u64 = 1 << 20;

/// The last lines of a trail, the newest first, with the fields of [`AUDIT`]; what a line does not have
/// is `null`.
///
/// # Errors
/// The file cannot be read.
pub fn tail(path: &Path) -> std::io::Result<Vec<Map<String, Value>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(MOST);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let whole = match from {
        0 => &bytes[..],
        // Begins in the middle of a line.
        _ => bytes
            .splitn(2, |byte| *byte == b'\n')
            .nth(1)
            .unwrap_or_default(),
    };
    Ok(lines(whole))
}

fn lines(bytes: &[u8]) -> Vec<Map<String, Value>> {
    let lines = bytes.split(|byte| *byte == b'\n').rev();
    // The last one may be half written, and is left out then.
    let parsed = lines.filter_map(|line| serde_json::from_slice::<Map<String, Value>>(line).ok());
    parsed
        .map(|mut line| {
            let field = |field: &super::fields::Field| {
                let value = line.remove(field.name).unwrap_or(Value::Null);
                (field.name.to_owned(), value)
            };
            AUDIT.iter().map(field).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_first_and_halves_are_left_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let mut text = String::new();
        for n in 0..20_000 {
            text.push_str(&format!(
                "{{\"event\":\"statement\",\"conn\":{n},\"other\":1}}\n"
            ));
        }
        text.push_str("{\"event\":\"state");
        std::fs::write(&path, &text).expect("written");
        let lines = tail(&path).expect("read");
        assert!(lines.len() > 1_000 && lines.len() < 20_001);
        assert_eq!(lines[0]["conn"], 19_999);
        assert_eq!(lines[1]["conn"], 19_998);
        assert_eq!(
            (&lines[0]["query"], lines[0].len()),
            (&Value::Null, AUDIT.len())
        );
        assert!(tail(&dir.path().join("none")).is_err());
    }
}
