//! Makes the virtual rig, out of Debian packages, below the cache folder.
//!
//! It has parts, each a folder that a script makes. The scripts are in the program, so that it needs
//! no source tree beside it; a part remembers the scripts that made it and is made anew when they
//! change, so a second run has nothing to do.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail, ensure};

const DEBIAN: &str = include_str!("../setup/debian.sh");

/// What the rig consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The guest's root folder.
    Root,
    /// The emulator of Bluetooth controllers.
    Btvirt,
    /// What User-mode Linux needs on processors that are newer than it.
    Registers,
    /// A kernel that was built to run as a program.
    Uml,
    /// QEMU and Debian's kernel.
    Qemu,
}

impl Part {
    /// What every kind of virtual machine has.
    pub(crate) const ALWAYS: [Self; 3] = [Self::Root, Self::Btvirt, Self::Registers];

    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Btvirt => "btvirt",
            Self::Registers => "registers",
            Self::Uml => "uml",
            Self::Qemu => "qemu",
        }
    }

    /// The script that makes it.
    fn recipe(self) -> String {
        let own = match self {
            Self::Root => include_str!("../setup/root.sh"),
            Self::Btvirt => include_str!("../setup/btvirt.sh"),
            Self::Registers => include_str!("../setup/registers.sh"),
            Self::Uml => include_str!("../setup/kernel_uml.sh"),
            Self::Qemu => include_str!("../setup/kernel_qemu.sh"),
        };
        format!("{DEBIAN}\n{own}")
    }

    pub(crate) fn folder(self, cache: &Path) -> PathBuf {
        cache.join(self.name())
    }

    fn recipe_file(self, cache: &Path) -> PathBuf {
        cache.join(format!("{}.recipe", self.name()))
    }

    /// Whether it is there, made as this program makes it.
    pub(crate) fn is_ready(self, cache: &Path) -> bool {
        fs::read_to_string(self.recipe_file(cache)).is_ok_and(|made_by| made_by == self.recipe())
    }

    fn make(self, cache: &Path) -> anyhow::Result<()> {
        let (folder, recipe_file) = (self.folder(cache), self.recipe_file(cache));
        let new = cache.join(format!("{}.new", self.name()));
        for old in [&new, &folder] {
            if let Err(error) = fs::remove_dir_all(old)
                && error.kind() != io::ErrorKind::NotFound
            {
                bail!("cannot remove {}: {error}", old.display());
            }
        }
        fs::create_dir(&new).with_context(|| format!("cannot create {}", new.display()))?;
        let script = cache.join(format!("{}.sh", self.name()));
        fs::write(&script, self.recipe())
            .with_context(|| format!("cannot write {}", script.display()))?;
        let status = Command::new("bash")
            .arg(&script)
            .env("RIG_CACHE", cache)
            .env("RIG_OUT", &new)
            .env("RIG_ROOT", Self::Root.folder(cache))
            .stdin(Stdio::null())
            .status()
            .context("cannot run bash")?;
        ensure!(
            status.success(),
            "{} was not made ({status}); its script is {}",
            { self.name() },
            script.display()
        );
        fs::rename(&new, &folder)?;
        // Last: a run that is killed before has made nothing.
        fs::write(&recipe_file, self.recipe())
            .with_context(|| format!("cannot write {}", recipe_file.display()))?;
        fs::remove_file(&script)?;
        Ok(())
    }
}

/// The folder of the rig: HEDGEROW_RIG_CACHE, else one in the user's cache folder.
pub(crate) fn cache_folder() -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = variable("HEDGEROW_RIG_CACHE").map(PathBuf::from).or_else(|| {
        let caches = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let caches = caches.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
        Some(caches?.join("hedgerow-rig"))
    });
    let folder = folder.context("there is no HOME: set HEDGEROW_RIG_CACHE to a folder")?;
    std::path::absolute(&folder).with_context(|| format!("bad path {}", folder.display()))
}

/// Makes what is missing, with `kernel` unless that is `None`.
pub(crate) fn run(cache: &Path, kernel: Option<Part>) -> anyhow::Result<()> {
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let lock = cache.join("lock");
    let lock = File::create(&lock).with_context(|| format!("cannot create {}", lock.display()))?;
    // Two at a time would make the same folders.
    lock.lock().context("cannot lock the cache folder")?;
    let started = Instant::now();
    for part in Part::ALWAYS.into_iter().chain(kernel) {
        if !part.is_ready(cache) {
            part.make(cache)?;
        }
    }
    let seconds = started.elapsed().as_secs_f32();
    eprintln!("setup: the virtual rig is ready in {} ({seconds:.1} s)", cache.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_ready_only_if_these_scripts_made_it() {
        let cache = tempfile::tempdir().unwrap();
        assert!(!Part::Root.is_ready(cache.path()));
        fs::write(cache.path().join("root.recipe"), Part::Root.recipe()).unwrap();
        assert!(Part::Root.is_ready(cache.path()));
        assert!(!Part::Btvirt.is_ready(cache.path()));
        fs::write(cache.path().join("root.recipe"), Part::Root.recipe() + "\n").unwrap();
        assert!(!Part::Root.is_ready(cache.path()));
    }
}
