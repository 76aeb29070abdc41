//! Files that are whole at any moment: a new one takes the old one's place.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes `text` to a new file of mode 0600 beside `path`, waits for the disk and renames it to
/// `path`. Whoever reads sees the old text or the new one.
///
/// # Errors
/// The file cannot be made, written or renamed; the old one is still there.
pub fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // Left over from a process that ended in the middle.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write(&new, text).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // Half a file is of no use, and a full disk needs the room.
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = (std::fs::OpenOptions::new())
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}
