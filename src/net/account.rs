//! Names of operating system users.

use std::ffi::CStr;
use std::io;

/// Largest buffer for one entry of the user database, in bytes.
const MAX_ENTRY: usize = 1 << 20;

/// The name of user `uid`; `None` if there is no such user.
///
/// May ask a directory over the network: do not call it on a worker.
///
/// Errors: the system's.
pub fn user_name(uid: u32) -> io::Result<Option<String>> {
    let mut size = 1024;
    loop {
        let mut buffer = vec![0 as libc::c_char; size];
        let mut found: *mut libc::passwd = std::ptr::null_mut();
        // SAFETY: all zeroes is a valid passwd (null pointers and zero ids).
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        // SAFETY: every pointer is valid for the call, and the length is that of `buffer`.
        let code = unsafe {
            libc::getpwuid_r(
                uid,
                &mut entry,
                buffer.as_mut_ptr(),
                buffer.len(),
                &mut found,
            )
        };
        match code {
            0 if found.is_null() || entry.pw_name.is_null() => return Ok(None),
            0 => {
                // SAFETY: the call succeeded, so `pw_name` is a C string inside `buffer`.
                let name = unsafe { CStr::from_ptr(entry.pw_name) };
                return Ok(name.to_str().ok().map(str::to_owned));
            }
            libc::ERANGE if size < MAX_ENTRY => size *= 4,
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_nobody_has_none() {
        assert_eq!(user_name(0).unwrap().as_deref(), Some("root"));
        assert_eq!(user_name(u32::MAX - 7).unwrap(), None);
    }
}
