//! What is said of a file that was cut while it is mapped.
//!
//! The system then ends the process with the signal SIGBUS at the next access. Mapped files are entered in a table, and a handler of that
//! signal names the one that the address lies in. A signal handler may take no lock and no memory, so the table has a fixed number of
//! places of plain atomics, and the message is written when the file is entered.

use std::path::Path;

/// A file's place in the table, which is free again when this is dropped.
pub(super) struct Watched {
    #[cfg(unix)]
    place: Option<&'static table::Place>,
}

impl Watched {
    /// Watches the bytes of a map. Where the table is full, its file is not named.
    #[cfg(unix)]
    pub(super) fn new(path: &Path, bytes: &[u8]) -> Self {
        Self { place: table::enter(path, bytes) }
    }

    #[cfg(not(unix))]
    pub(super) fn new(_: &Path, _: &[u8]) -> Self {
        Self {}
    }
}

#[cfg(unix)]
impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            place.leave();
        }
    }
}

#[cfg(unix)]
mod table {
    use std::path::Path;
    use std::sync::Once;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

    /// The exit code of the program for a failure of the engine or the disk.
    const EXIT_CODE: libc::c_int = 3;

    /// A mapped file: where it lies, and what is said of it if it is cut.
    pub(super) struct Place {
        start: AtomicUsize,
        end: AtomicUsize,
        message: AtomicPtr<String>,
    }

    static PLACES: [Place; 256] = [const { Place::free() }; 256];

    impl Place {
        const fn free() -> Self {
            Self {
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
                message: AtomicPtr::new(std::ptr::null_mut()),
            }
        }

        /// Frees the place. The message stays in memory: a handler on another thread may be writing it.
        pub(super) fn leave(&self) {
            self.end.store(0, SeqCst);
            self.start.store(0, SeqCst);
        }
    }

    pub(super) fn enter(path: &Path, bytes: &[u8]) -> Option<&'static Place> {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(install);
        let start = bytes.as_ptr() as usize;
        let place =
            PLACES.iter().find(|place| place.start.compare_exchange(0, start, SeqCst, SeqCst).is_ok())?;
        let shown = path.display().to_string().escape_debug().to_string();
        let message = format!("entrace: {shown} became shorter, or could not be read, while it was in use\n");
        place.message.store(Box::into_raw(Box::new(message)), SeqCst);
        place.end.store(start + bytes.len(), SeqCst);
        Some(place)
    }

    fn install() {
        // SAFETY: `sigaction` is plain data, for which zeros are a value; the handler has the signature that SA_SIGINFO asks for and calls
        // only what may be called in a signal handler. A failure leaves the system's way to end the process.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    }

    extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system passes a valid `siginfo_t`. Messages are never freed. `write`, `_exit` and `signal` may be called here.
        unsafe {
            let address = (*info).si_addr() as usize;
            let holds =
                |place: &&Place| (place.start.load(SeqCst)..place.end.load(SeqCst)).contains(&address);
            if let Some(message) =
                PLACES.iter().find(holds).and_then(|place| place.message.load(SeqCst).as_ref())
            {
                libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
                libc::_exit(EXIT_CODE);
            }
            // Not ours: the access is made again and ends the process as it would have.
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use crate::weights::mapped::Mapped;
    use std::process::Command;

    /// Set in the process that is to end.
    const FILE: &str = "ENTRACE_TEST_CUT_FILE";

    #[test]
    fn a_file_that_is_cut_while_it_is_mapped_is_named() {
        if let Some(path) = std::env::var_os(FILE) {
            let mapped = Mapped::open(path.clone().into()).unwrap();
            std::fs::File::options().write(true).open(path).unwrap().set_len(1).unwrap();
            let last = mapped.bytes().last();
            unreachable!("{last:?} was read of a file that is gone");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let this = "weights::cut::tests::a_file_that_is_cut_while_it_is_mapped_is_named";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(FILE, &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(3), "{said}");
        assert!(said.contains("model.gguf became shorter, or could not be read"), "{said}");
    }
}
