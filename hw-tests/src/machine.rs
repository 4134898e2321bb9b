//! The virtual machine: which kinds are set up here, and how one is run.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::alive::Watch;
use crate::outcome::Skip;
use crate::setup::Part;
use crate::stage::MODULE;

/// Which kind to use, for people who want the other one.
const KIND: &str = "HEDGEROW_RIG";
/// A User-mode Linux kernel that is there already; modules may be beside it.
const KERNEL: &str = "HEDGEROW_RIG_KERNEL";

/// The files that setup makes for the guest's Bluetooth.
pub(crate) const BLUETOOTH: [&str; 2] = ["btvirt", "small_mtu.so"];

/// How long one that is told to end may take.
const END_MAX: Duration = Duration::from_secs(2);
/// Between two looks at whether one has ended, and at whether it lives.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A virtual machine that can be run here.
#[derive(Debug)]
pub(crate) struct Machine {
    kernel: Kernel,
    root: PathBuf,
    /// What the guest's Bluetooth is made of.
    pub(crate) bluetooth: [PathBuf; 2],
    /// Where the module of emulated Wi-Fi radios is, if it is there.
    module: PathBuf,
}

#[derive(Debug)]
enum Kernel {
    /// User-mode Linux: the kernel is a program of this machine.
    Uml { linux: PathBuf, preloaded: PathBuf },
    /// A Debian kernel, emulated.
    Qemu { folder: PathBuf },
}

/// What the environment asks for.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    kind: Kind,
    linux: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Any,
    Uml,
    Qemu,
}

impl Wish {
    /// # Errors
    /// If the environment asks for what cannot be: that is a mistake, not a missing rig.
    pub(crate) fn of_environment() -> anyhow::Result<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::of(variable(KIND), variable(KERNEL))
    }

    fn of(kind: Option<OsString>, kernel: Option<OsString>) -> anyhow::Result<Self> {
        let kind = match kind.as_ref().map(|kind| kind.to_string_lossy()).as_deref() {
            None => Kind::Any,
            Some("uml") => Kind::Uml,
            Some("qemu") => Kind::Qemu,
            Some(kind) => bail!("{KIND} is `{kind}`: set it to `uml` or `qemu`, or not at all"),
        };
        let linux = kernel.map(std::path::absolute).transpose()?;
        if let Some(linux) = linux.as_ref().filter(|linux| !linux.is_file()) {
            bail!("{KERNEL} is {}, which is no file", linux.display());
        }
        Ok(Self { kind, linux })
    }

    /// The kernel that setup has to make, if any.
    pub(crate) fn kernel_to_make(&self, build: bool, cache: &Path) -> Option<Part> {
        match self.kind {
            Kind::Qemu => Some(Part::Qemu),
            _ if build => Some(Part::Uml),
            _ if self.linux.is_some() => None,
            Kind::Uml => Some(Part::Uml),
            Kind::Any if Part::Uml.is_ready(cache) => None,
            Kind::Any => Some(Part::Qemu),
        }
    }

    /// The machine that this comes to, or why there is none.
    pub(crate) fn machine(&self, cache: &Path) -> anyhow::Result<Machine> {
        for part in Part::ALWAYS {
            if !part.is_ready(cache) {
                bail!(
                    "the virtual rig is not set up in {}, or by another version",
                    cache.display()
                );
            }
        }
        let built = || Part::Uml.is_ready(cache).then(|| Part::Uml.folder(cache).join("linux"));
        let preloaded = Part::Registers.folder(cache).join("wide_registers.so");
        let uml = self.linux.clone().or_else(built).map(|linux| Kernel::Uml { linux, preloaded });
        let qemu =
            Part::Qemu.is_ready(cache).then(|| Kernel::Qemu { folder: Part::Qemu.folder(cache) });
        let kernel = match self.kind {
            Kind::Any => uml.or(qemu),
            Kind::Uml => uml,
            Kind::Qemu => qemu,
        };
        let Some(kernel) = kernel else {
            bail!("there is no kernel for the virtual rig in {}", cache.display());
        };
        Ok(Machine {
            module: kernel.folder().join(MODULE),
            kernel,
            root: Part::Root.folder(cache),
            bluetooth: BLUETOOTH.map(|file| Part::Btvirt.folder(cache).join(file)),
        })
    }
}

impl Kernel {
    /// Where it is, with its modules beside it.
    fn folder(&self) -> &Path {
        match self {
            Self::Uml { linux, .. } => linux.parent().unwrap_or(Path::new("/")),
            Self::Qemu { folder } => folder,
        }
    }
}

impl Machine {
    pub(crate) fn name(&self) -> &'static str {
        match self.kernel {
            Kernel::Uml { .. } => "User-mode Linux",
            Kernel::Qemu { .. } => "QEMU",
        }
    }

    /// By how much its deadlines are longer than those of a machine of iron.
    pub(crate) fn patience(&self) -> u32 {
        match self.kernel {
            Kernel::Uml { .. } => 1,
            Kernel::Qemu { .. } => 5,
        }
    }

    /// The module of emulated Wi-Fi radios.
    ///
    /// # Errors
    /// A skip, if it is not there.
    pub(crate) fn module(&self) -> anyhow::Result<&Path> {
        if self.module.is_file() {
            return Ok(&self.module);
        }
        let module = self.module.display();
        Err(Skip(format!("needs radios of Wi-Fi: there is no {module} beside the kernel")).into())
    }

    /// Runs it until it switches itself off. What is on its console goes to a file.
    ///
    /// # Errors
    /// If it cannot be started, or is still on when it may not be any more; [`StoodStill`] if its
    /// kernel does nothing.
    ///
    /// [`StoodStill`]: crate::alive::StoodStill
    pub(crate) fn run(&self, share: &Path, console: &Path, may: May) -> anyhow::Result<()> {
        let guest_seconds = may.run.as_secs();
        let mut command = match &self.kernel {
            Kernel::Uml { linux, preloaded } => {
                let mut command = uml(linux, &self.root, share, guest_seconds);
                command.env("LD_PRELOAD", preloaded);
                command
            }
            Kernel::Qemu { folder } => qemu(folder, &self.root, share, guest_seconds),
        };
        let console = File::create(console).context("cannot create the log of the console")?;
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        let spawned = match &self.kernel {
            Kernel::Uml { .. } => spawn_on_one_processor(&mut command),
            Kernel::Qemu { .. } => command.spawn(),
        };
        let mut child = spawned.with_context(|| format!("cannot start {}", self.name()))?;
        let ended = follow(&mut child, share, may);
        if ended.is_err() {
            end(&mut child)?;
        }
        ended
    }
}

/// What a machine may do before it is ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct May {
    /// How long it may run.
    pub(crate) run: Duration,
    /// How long it may compute between two signs of life.
    pub(crate) be_silent: Duration,
}

/// Waits until a machine has switched itself off.
fn follow(child: &mut Child, share: &Path, may: May) -> anyhow::Result<()> {
    let mut watch = Watch::new(share, child.id(), may.be_silent);
    // A little longer than the guest, which ends by itself and says more.
    let end = Instant::now() + may.run + may.run / 10;
    while child.try_wait()?.is_none() {
        watch.look()?;
        if Instant::now() > end {
            bail!("the virtual machine did not end within {} s", may.run.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Ends a machine. User-mode Linux ends the processes of its guest only if it is asked to end.
fn end(child: &mut Child) -> std::io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    let end = Instant::now() + END_MAX;
    while child.try_wait()?.is_none() && Instant::now() < end {
        std::thread::sleep(LOOK_EVERY);
    }
    let _ = child.kill();
    child.wait()?;
    Ok(())
}

/// User-mode Linux has one processor, and a process of the host for each of the guest's: with every
/// system call the turn passes from one to the other. Where that wakes another processor of the host
/// each time, the guest is several times slower.
fn spawn_on_one_processor(command: &mut Command) -> std::io::Result<Child> {
    // A process has the processors of the thread that starts it.
    let spawning = || {
        let allowed = sched_getaffinity(None)?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        // Rigs that run at the same time find different ones, mostly.
        let chosen = usize::try_from(std::process::id()).unwrap_or_default() % allowed.len().max(1);
        if let Some(cpu) = allowed.get(chosen) {
            let mut one = CpuSet::new();
            one.set(*cpu);
            sched_setaffinity(None, &one)?;
        }
        command.spawn()
    };
    std::thread::scope(|scope| {
        let spawned = scope.spawn(spawning).join();
        spawned.unwrap_or_else(|_| Err(std::io::Error::other("the start of a process panicked")))
    })
}

fn joined(parts: &[&dyn AsRef<std::ffi::OsStr>]) -> OsString {
    parts.iter().fold(OsString::new(), |mut all, part| {
        all.push(part.as_ref());
        all
    })
}

fn uml(linux: &Path, root: &Path, share: &Path, seconds: u64) -> Command {
    let mut command = Command::new(linux);
    command
        .args(["mem=1024M", "root=none", "rootfstype=hostfs", "ro", "quiet"])
        .arg(joined(&[&"rootflags=", &root]))
        .args(["init=/usr/sbin/rig-init", "con=null", "con0=null,fd:1"])
        .arg(joined(&[&"rig.share=", &share]))
        .arg(format!("rig.seconds={seconds}"));
    // It keeps the guest's memory in a file: not on a disk, if possible.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        command.env("TMPDIR", memory);
    }
    command
}

/// By emulation, always: a KVM device says nothing about whether stock kernels run on it.
fn qemu(folder: &Path, root: &Path, share: &Path, seconds: u64) -> Command {
    let tools = folder.join("tools");
    let libraries = tools.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(tools.join("usr/lib64/ld-linux-x86-64.so.2"));
    command
        .env("QEMU_MODULE_DIR", libraries.join("qemu"))
        .arg("--library-path")
        .arg(&libraries)
        .arg(tools.join("usr/bin/qemu-system-x86_64"))
        .args(["-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"])
        .args(["-smp", "2", "-m", "1024", "-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio", "-monitor", "none"])
        .args(["-device", "virtio-rng-pci"]);
    for data in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
        command.arg("-L").arg(tools.join(data));
    }
    let shared = |folder: &Path, tag, options| {
        let tail = format!(",mount_tag={tag},security_model=none,multidevs=remap{options}");
        joined(&[&"local,path=", &folder, &tail])
    };
    command
        .arg("-kernel")
        .arg(folder.join("vmlinuz"))
        .arg("-initrd")
        .arg(folder.join("initrd"))
        .arg("-append")
        .arg(format!(
            "console=ttyS0 quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on audit=0 \
             tsc=reliable no_timer_check lpj=5000000 cryptomgr.notests rig.share=share \
             rig.seconds={seconds}"
        ))
        .arg("-virtfs")
        .arg(shared(root, "root", ",readonly=on"))
        .arg("-virtfs")
        .arg(shared(share, "share", ""));
    command
}

#[cfg(test)]
impl Machine {
    /// A machine whose kernel is a script.
    pub(crate) fn scripted(folder: &Path, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;

        let linux = folder.join("linux");
        std::fs::write(&linux, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&linux, PermissionsExt::from_mode(0o755)).unwrap();
        Self {
            kernel: Kernel::Uml { linux, preloaded: PathBuf::new() },
            root: folder.to_owned(),
            bluetooth: BLUETOOTH.map(|file| folder.join(file)),
            module: folder.join(MODULE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alive::StoodStill;

    fn wish(kind: Option<&str>, kernel: Option<&str>) -> anyhow::Result<Wish> {
        Wish::of(kind.map(OsString::from), kernel.map(OsString::from))
    }

    #[test]
    fn a_kernel_is_built_only_where_somebody_asks_for_it() {
        let cache = tempfile::tempdir().unwrap();
        let linux = cache.path().join("linux");
        std::fs::write(&linux, "").unwrap();
        let made =
            |kind, kernel, build| wish(kind, kernel).unwrap().kernel_to_make(build, cache.path());
        assert_eq!(made(None, None, false), Some(Part::Qemu));
        assert_eq!(made(None, None, true), Some(Part::Uml));
        assert_eq!(made(None, linux.to_str(), false), None);
        assert_eq!(made(Some("uml"), None, false), Some(Part::Uml));
        assert_eq!(made(Some("qemu"), linux.to_str(), false), Some(Part::Qemu));
    }

    #[test]
    fn a_wish_that_cannot_be_is_a_mistake_and_not_a_missing_rig() {
        let error = |kind, kernel| wish(kind, kernel).unwrap_err().to_string();
        assert!(error(Some("kvm"), None).starts_with("HEDGEROW_RIG is `kvm`: "));
        assert_eq!(error(None, Some("/no/linux")), {
            "HEDGEROW_RIG_KERNEL is /no/linux, which is no file"
        });
    }

    fn run(script: &str, may: May) -> (anyhow::Result<()>, String) {
        let folder = tempfile::tempdir().unwrap();
        let console = folder.path().join("console.log");
        let ended = Machine::scripted(folder.path(), script).run(folder.path(), &console, may);
        (ended, std::fs::read_to_string(&console).unwrap())
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_machine_that_hangs_is_ended() {
        let may = May { run: Duration::from_millis(500), be_silent: LONG };
        let (ended, console) = run("echo booted; exec sleep 600", may);
        assert!(ended.unwrap_err().to_string().starts_with("the virtual machine did not end"));
        assert_eq!(console, "booted\n");
    }

    #[test]
    fn a_machine_that_computes_and_shows_no_life_is_ended_before_its_time() {
        let may = May { run: LONG, be_silent: Duration::from_millis(200) };
        let (ended, _) = run("while :; do :; done", may);
        assert!(ended.unwrap_err().is::<StoodStill>());
    }

    #[test]
    fn a_machine_that_computes_and_shows_life_is_let_be_and_so_is_one_that_waits() {
        let may = May { run: LONG, be_silent: Duration::from_millis(200) };
        let computes = r#"
            for word; do case $word in rig.share=*) share=${word#rig.share=};; esac; done
            round=0
            while [ $round -lt 40 ]; do
                round=$((round + 1)); echo $round > "$share/alive"
                turn=0; while [ $turn -lt 10000 ]; do turn=$((turn + 1)); done
            done
            times
            sleep 1"#;
        let (ended, times) = run(computes, may);
        ended.unwrap();
        let minutes_and_seconds = times.split_ascii_whitespace().next().unwrap();
        let (_, seconds) = minutes_and_seconds.trim_end_matches('s').split_once('m').unwrap();
        let spent = seconds.parse::<f64>().unwrap();
        assert!(spent > 0.2, "{spent} s are not enough to tell");
    }

    #[test]
    fn a_module_that_is_not_there_is_a_skip_that_says_where_it_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let linux = folder.path().join("linux");
        let kernel = Kernel::Uml { linux, preloaded: PathBuf::new() };
        let module = kernel.folder().join(MODULE);
        let root = folder.path().to_owned();
        let bluetooth = BLUETOOTH.map(PathBuf::from);
        let machine = Machine { kernel, root, bluetooth, module: module.clone() };
        let error = machine.module().unwrap_err();
        let Skip(reason) = error.downcast_ref().unwrap();
        assert!(reason.contains(&module.display().to_string()), "{reason}");
        std::fs::write(&module, "").unwrap();
        assert_eq!(machine.module().unwrap(), module);
    }

    #[test]
    fn a_process_is_kept_to_one_processor_and_its_starter_is_not() {
        let before = sched_getaffinity(None).unwrap();
        let mut command = Command::new("cat");
        command.arg("/proc/self/status").stdout(Stdio::piped());
        let output = spawn_on_one_processor(&mut command).unwrap().wait_with_output().unwrap();
        let status = String::from_utf8(output.stdout).unwrap();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        assert!(allowed.unwrap().trim().parse::<usize>().is_ok(), "{allowed:?} are not one");
        assert!(sched_getaffinity(None).unwrap() == before);
    }

    #[test]
    fn a_rig_that_is_not_set_up_is_no_machine() {
        let cache = tempfile::tempdir().unwrap();
        let error = wish(None, None).unwrap().machine(cache.path()).unwrap_err();
        assert!(error.to_string().starts_with("the virtual rig is not set up in "), "{error}");
    }
}
