use std::fs;

use super::*;

fn open(folder: &Path) -> Home {
    Home::open(Some(folder)).unwrap()
}

fn set_key(folder: &Path, content: &[u8]) {
    let path = folder.join("key");
    fs::write(&path, content).unwrap();
    #[cfg(unix)]
    set_mode(&path, 0o600);
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn what_is_made_is_for_the_owner_only() {
    let outer = tempfile::tempdir().unwrap();
    let mut home = open(&outer.path().join("a/b"));
    home.next_boot_epoch().unwrap();
    assert_eq!(mode(home.folder()), 0o700);
    for name in ["key", "lock", "epoch"] {
        assert_eq!(mode(&home.folder().join(name)), 0o600, "{name}");
    }
    let mut names: Vec<_> =
        fs::read_dir(home.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["epoch", "key", "lock"], "no drafts are left");
}

#[test]
fn the_key_is_the_same_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).identity().peer_key();
    assert_eq!(open(folder.path()).identity().peer_key(), first);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(other.path()).identity().peer_key(), first);
}

#[test]
fn the_key_file_has_the_documented_form() {
    // RFC 8032 section 7.1, test 2.
    let folder = tempfile::tempdir().unwrap();
    set_key(folder.path(), b"hedgerow-key-1 TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs\r\n");
    let expected = "pkPUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw";
    assert_eq!(open(folder.path()).identity().peer_key().to_string(), expected);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let path = folder.path().join("key");
    for open_mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        set_mode(&path, open_mode);
        let error = Home::open(Some(folder.path())).unwrap_err();
        assert!(matches!(error, HomeError::TooOpen { mode, .. } if mode == open_mode), "{error}");
        let path = fs::canonicalize(&path).unwrap();
        assert!(error.to_string().ends_with(&format!("run `chmod 600 {}`", path.display())));
    }
    set_mode(&path, 0o400);
    open(folder.path());
}

#[test]
fn a_damaged_key_is_refused_and_left_as_it_was() {
    let seeds = (0..=u8::MAX).map(|byte| [byte; 32]);
    let inadmissible = seeds.into_iter().find(|seed| Identity::from_seed(seed).is_err()).unwrap();
    let good = "hedgerow-key-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (content, expected) in [
        ("", Malformed::Empty),
        ("\u{0}\u{1}", Malformed::Header { expected: "hedgerow-key-1" }),
        ("hedgerow-key-2 AAAA", Malformed::Header { expected: "hedgerow-key-1" }),
        ("hedgerow-key-1\n", Malformed::Header { expected: "hedgerow-key-1" }),
        (&good[..good.len() - 1], Malformed::Length { characters: 42, expected: 43 }),
        (&format!("{good}A"), Malformed::Length { characters: 44, expected: 43 }),
        (&good.replace("AAA", "+/="), Malformed::Encoding),
        (&*file::secret_line("hedgerow-key-1", &inadmissible), Malformed::Seed),
    ] {
        let folder = tempfile::tempdir().unwrap();
        set_key(folder.path(), content.as_bytes());
        let error = Home::open(Some(folder.path())).unwrap_err();
        let HomeError::InvalidKey { source, .. } = &error else { panic!("{content}: {error:?}") };
        assert_eq!(*source, expected, "{content}");
        assert_eq!(fs::read(folder.path().join("key")).unwrap(), content.as_bytes());
        if let Some(secret) = content.strip_prefix("hedgerow-key-1 ") {
            assert!(!format!("{error} {error:?}").contains(secret));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_key_on_a_disk_that_is_not_mounted_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nowhere/key", folder.path().join("key")).unwrap();
    let error = Home::open(Some(folder.path())).unwrap_err();
    assert!(matches!(error, HomeError::Io { action: "read", .. }), "{error:?}");
    assert!(folder.path().join("key").is_symlink());
}

#[test]
fn a_second_node_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let error = Home::open(Some(&folder.path().join("."))).unwrap_err();
    assert!(matches!(error, HomeError::InUse { .. }), "{error:?}");
    drop(first);
    open(folder.path());
}

#[test]
fn the_boot_epoch_rises_with_every_start() {
    let folder = tempfile::tempdir().unwrap();
    let epochs: Vec<_> = (0..100).map(|_| open(folder.path()).next_boot_epoch().unwrap()).collect();
    assert_eq!(epochs, (1..=100).collect::<Vec<_>>());
    let text = fs::read_to_string(folder.path().join("epoch")).unwrap();
    assert_eq!(text, "hedgerow-epoch-1 100\n");
}

#[test]
fn a_crash_while_a_file_was_written_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    // The power went while the key, and later an epoch, was only half in its draft.
    fs::write(folder.path().join("key.new"), "hedgerow-k").unwrap();
    let mut home = open(folder.path());
    assert_eq!(home.next_boot_epoch().unwrap(), 1);
    let key = home.identity().peer_key();
    drop(home);
    fs::write(folder.path().join("epoch.new"), "hedgerow-epoch-1 9").unwrap();
    let mut home = open(folder.path());
    assert_eq!(home.identity().peer_key(), key);
    assert_eq!(home.next_boot_epoch().unwrap(), 2);
    assert!(!folder.path().join("epoch.new").exists());
}

#[test]
fn a_lost_count_goes_on_above_any_number_of_starts() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).next_boot_epoch().unwrap();
    fs::remove_file(folder.path().join("epoch")).unwrap();
    let first = open(folder.path()).next_boot_epoch().unwrap();
    assert!(first > 1_767_000_000_000, "{first}");
    assert_eq!(open(folder.path()).next_boot_epoch().unwrap(), first + 1);
}

#[test]
fn a_clock_that_was_never_set_or_set_back_does_no_harm() {
    let week = std::time::Duration::from_secs(7 * 24 * 3_600);
    let folder = tempfile::tempdir().unwrap();
    let next = |key_is_new, now| epoch::next(folder.path(), key_is_new, now).unwrap();
    // With the file there is no clock in it.
    let now = SystemTime::now();
    assert_eq!([next(true, now), next(false, now - week)], [1, 2]);
    assert_eq!([next(false, SystemTime::UNIX_EPOCH), next(false, now)], [3, 4]);

    // Without it, a clock of 1970 or before counts as the day before anybody ran this.
    for clock in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH - week] {
        fs::remove_file(folder.path().join("epoch")).unwrap();
        let first = next(false, clock);
        assert!(first > 1_767_000_000_000, "{first}");
        assert_eq!(next(false, clock), first + 1, "counted, not read from the clock again");
    }
}

#[test]
fn what_the_mesh_knows_better_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = open(folder.path());
    assert_eq!(home.next_boot_epoch().unwrap(), 1);
    home.raise_boot_epoch(41).unwrap();
    home.raise_boot_epoch(7).unwrap();
    drop(home);
    assert_eq!(open(folder.path()).next_boot_epoch().unwrap(), 42);
    fs::remove_file(folder.path().join("epoch")).unwrap();
    open(folder.path()).raise_boot_epoch(50).unwrap();
    assert_eq!(open(folder.path()).next_boot_epoch().unwrap(), 51);
}

#[cfg(unix)]
#[test]
fn another_users_home_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    if std::os::unix::fs::chown(folder.path(), Some(4_242), None).is_err() {
        return skip("another_users_home_is_refused", "only root gives a folder away");
    }
    let error = Home::open(Some(folder.path())).unwrap_err();
    assert!(matches!(error, HomeError::ForeignHome { owner: 4_242, .. }), "{error:?}");
    assert!(error.to_string().contains("chown -R") && error.to_string().contains("4242"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made there");
}

#[cfg(unix)]
fn skip(test: &str, why: &str) {
    use std::io::Write;
    std::io::stderr().write_all(format!("\nSKIP {test}: {why}\n").as_bytes()).unwrap();
}

#[test]
fn a_damaged_count_is_refused_and_left_as_it_was() {
    let last = format!("hedgerow-epoch-1 {}", u64::MAX);
    for content in ["", "7", "hedgerow-epoch-1 x", "hedgerow-epoch-1 +7", &last] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("epoch");
        fs::write(&path, content).unwrap();
        let error = open(folder.path()).next_boot_epoch().unwrap_err();
        assert!(matches!(error, HomeError::InvalidEpoch { .. }), "{content}: {error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = open(folder.path());
    home.next_boot_epoch().unwrap();
    // A folder in the draft's place: as unwritable for root as for anybody.
    fs::create_dir(folder.path().join("epoch.new")).unwrap();
    let error = home.next_boot_epoch().unwrap_err();
    let path = home.folder().join("epoch").display().to_string();
    assert!(error.to_string().starts_with(&format!("cannot write {path}: ")), "{error}");
    fs::remove_dir(folder.path().join("epoch.new")).unwrap();
    assert_eq!(home.next_boot_epoch().unwrap(), 2, "a failed call changes nothing");

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Home::open(Some(&file.join("home"))).unwrap_err().to_string();
    assert!(error.starts_with("cannot make the folder ") && error.contains("file/home"), "{error}");
}

#[test]
fn a_draft_that_cannot_take_its_place_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("epoch/occupied")).unwrap();
    file::replace(folder.path(), "epoch", b"1").unwrap_err();
    assert!(!folder.path().join("epoch.new").exists());
}

#[test]
fn a_full_disk_and_a_read_only_one_are_told_apart() {
    use std::io::ErrorKind;
    let error = |kind: ErrorKind| HomeError::from_io("write", Path::new("/h/key"), kind.into());
    assert!(matches!(error(ErrorKind::StorageFull), HomeError::DiskFull { .. }));
    assert!(matches!(error(ErrorKind::QuotaExceeded), HomeError::DiskFull { .. }));
    assert!(matches!(error(ErrorKind::ReadOnlyFilesystem), HomeError::NotWritable { .. }));
    assert!(matches!(error(ErrorKind::PermissionDenied), HomeError::NotWritable { .. }));
}

#[test]
fn debug_tells_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let home = open(folder.path());
    let line = fs::read_to_string(folder.path().join("key")).unwrap();
    let secret = line.trim().strip_prefix("hedgerow-key-1 ").unwrap();
    let debug = format!("{home:?}");
    assert!(debug.contains(&home.identity().peer_key().to_string()) && !debug.contains(secret));
    assert!(!debug.contains(&format!("{:?}", home.identity().to_seed())));
}

#[test]
fn a_network_secret_goes_through_its_file_and_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let secret = create_network_secret(&path).unwrap();
    assert_eq!(load_network_secret(&path).unwrap(), secret);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(parse_network_secret(&text).unwrap(), secret);
    assert_eq!(text.len(), "hedgerow-secret-1 ".len() + 22 + 1);
    let known = parse_network_secret("hedgerow-secret-1 AQEBAQEBAQEBAQEBAQEBAQ").unwrap();
    assert_eq!(known, hedgerow_core::network::NetworkSecret::from_bytes([1; 16]));

    assert!(matches!(create_network_secret(&path), Err(HomeError::Exists { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let (generated, line) = generate_network_secret().unwrap();
    assert_ne!(generated, secret);
    assert_eq!(parse_network_secret(&line).unwrap(), generated);
}

#[test]
fn a_network_secret_that_is_damaged_or_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    assert!(matches!(load_network_secret(&path), Err(HomeError::Io { .. })));
    set_key(folder.path(), b"correct horse battery staple");
    assert!(matches!(load_network_secret(&path), Err(HomeError::InvalidSecret { .. })));
    let result = parse_network_secret("hedgerow-secret-1 AQEB");
    assert_eq!(result.unwrap_err(), Malformed::Length { characters: 4, expected: 22 });
}

#[cfg(unix)]
#[test]
fn a_network_secret_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    create_network_secret(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    set_mode(&path, 0o604);
    assert!(matches!(load_network_secret(&path), Err(HomeError::TooOpen { .. })));
}
