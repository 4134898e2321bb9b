//! The socket: a Unix socket that only its owner may use.

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use tokio::net::{UnixListener, UnixStream};

    use crate::failure::{ErrorCode, Failure};

    pub(crate) type Socket = UnixStream;

    /// Listens as long as it lives, then removes its file.
    #[derive(Debug)]
    pub(crate) struct Listener {
        listener: UnixListener,
        path: PathBuf,
    }

    impl Listener {
        /// Listens at `path`. The caller holds the home folder's lock: what is there is left
        /// from a crash.
        pub(crate) fn bind(path: PathBuf) -> Result<Self, Failure> {
            let bind = || {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                // Under another name until nobody else may use it; no longer than the real one.
                let draft = path.with_file_name("control.new");
                let _ = std::fs::remove_file(&draft);
                let listener = UnixListener::bind(&draft)?;
                std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
                std::fs::rename(&draft, &path)?;
                Ok(listener)
            };
            let listener = bind().map_err(|error: io::Error| {
                let message = format!("cannot listen at {}: {error}", path.display());
                let hint = match error.kind() {
                    io::ErrorKind::StorageFull => "free some space, or choose another home",
                    _ => "make the folder writable, or choose another home",
                };
                Failure::new(ErrorCode::BadHome, message, hint)
            })?;
            Ok(Self { listener, path })
        }

        pub(crate) async fn accept(&self) -> io::Result<Socket> {
            Ok(self.listener.accept().await?.0)
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            // Left behind it does no harm: it is replaced at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Connects to the node at `path`; `None` if none runs there.
    pub(crate) async fn connect(path: &Path) -> Result<Option<Socket>, Failure> {
        match UnixStream::connect(path).await {
            Ok(socket) => Ok(Some(socket)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NotADirectory => Ok(None),
                io::ErrorKind::PermissionDenied => {
                    let message = format!("{} belongs to another user", path.display());
                    let hint = "run as the user of that node, or name your own home with --home";
                    Err(Failure::new(ErrorCode::BadHome, message, hint))
                }
                _ => {
                    let what = format!("cannot connect to the node at {}", path.display());
                    Err(Failure::internal(&what, error))
                }
            },
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::convert::Infallible;
    use std::io;
    use std::path::{Path, PathBuf};

    use crate::failure::{ErrorCode, Failure};

    pub(crate) type Socket = tokio::io::DuplexStream;

    #[derive(Debug)]
    pub(crate) struct Listener(Infallible);

    impl Listener {
        pub(crate) fn bind(_path: PathBuf) -> Result<Self, Failure> {
            Err(not_supported())
        }

        #[allow(clippy::unused_async, reason = "as on unix")]
        pub(crate) async fn accept(&self) -> io::Result<Socket> {
            match self.0 {}
        }
    }

    #[allow(clippy::unused_async, reason = "as on unix")]
    pub(crate) async fn connect(_path: &Path) -> Result<Option<Socket>, Failure> {
        Err(not_supported())
    }

    fn not_supported() -> Failure {
        let message = "the control socket is not supported on this platform yet";
        let hint = "`hedgerow demo` works, and so does the library";
        Failure::new(ErrorCode::NotSupported, message, hint)
    }
}

#[cfg(not(unix))]
pub(crate) use elsewhere::{Listener, Socket, connect};
#[cfg(unix)]
pub(crate) use unix::{Listener, Socket, connect};
