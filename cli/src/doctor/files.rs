//! How many files may be open: every link and every command is one.

use super::Check;
use crate::serve::scarcity::files_max;

/// What a node has open without a link: its listeners, multicast DNS on a few interfaces, the
/// control socket, the lock, the runtime's own.
const BASE: u64 = 32;
/// The links of the local network, and those that are about to be refused.
const LINKS: u64 = 128;
/// Commands that are connected at once.
const COMMANDS: u64 = 64;

pub(crate) fn check() -> Check {
    of(files_max())
}

fn of(limit: Option<u64>) -> Check {
    let Some(limit) = limit else { return Check::ok("files", "no limit of open files") };
    let links = limit.saturating_sub(BASE + (limit / 4).min(COMMANDS)).min(LINKS);
    let message = format!("{limit} files may be open, room for about {links} links at once");
    let hint = "raise the limit with `ulimit -n 1024` before `hedgerow up`, or LimitNOFILE= in \
                its systemd unit";
    match links {
        0 => Check::fail("files", message, hint),
        LINKS.. => Check::ok("files", message),
        _ => Check::warn("files", message, hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_low_limit_says_how_many_links_it_leaves() {
        assert_eq!(of(None).status, Level::Ok);
        assert_eq!(of(Some(1_024)).status, Level::Ok);
        let few = of(Some(64));
        assert_eq!(few.status, Level::Warn);
        assert!(few.message.contains("about 16 links"), "{few:?}");
        assert!(few.hint.contains("ulimit -n"), "{few:?}");
        assert_eq!(of(Some(32)).status, Level::Fail);
    }
}
