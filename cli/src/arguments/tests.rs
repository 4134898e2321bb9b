use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

fn command(line: &str) -> Command {
    parse(line).unwrap_or_else(|error| panic!("{error}")).command
}

#[test]
fn the_definition_is_sound() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
}

#[test]
fn json_and_home_may_stand_anywhere() {
    for line in ["hedgerow --json --home h peers", "hedgerow peers --home h --json"] {
        let arguments = parse(line).unwrap();
        assert!(arguments.json && arguments.home == Some("h".into()), "{line}");
    }
}

#[test]
fn timeouts_are_seconds_with_a_fraction() {
    let Command::Send(send) = command("hedgerow send p hi --timeout 0.25") else { panic!() };
    assert_eq!(send.timeout, Duration::from_millis(250));
    let Command::Send(send) = command("hedgerow send p hi --unreliable") else { panic!() };
    assert!(send.unreliable && send.timeout == Duration::from_secs(30));
    for wrong in ["0", "-1", "1m", "nan", "inf", "86401", ""] {
        assert!(Arguments::try_parse_from(["hedgerow", "listen", "--timeout", wrong]).is_err());
    }
}

#[test]
fn a_pipe_opens_or_accepts() {
    let Command::Pipe(pipe) = command("hedgerow pipe ben files") else { panic!() };
    assert_eq!((pipe.peer.as_deref(), pipe.topic.as_deref()), (Some("ben"), Some("files")));
    let Command::Pipe(pipe) = command("hedgerow pipe --accept files --from ben") else { panic!() };
    assert_eq!((pipe.accept.as_deref(), pipe.from.as_deref()), (Some("files"), Some("ben")));
    for wrong in ["", "ben", "ben files --accept f", "ben --accept f", "ben files --from ben"] {
        assert!(parse(&format!("hedgerow pipe {wrong}")).is_err(), "{wrong:?}");
    }
}

#[test]
fn one_waits_for_one_thing() {
    let Command::Wait(wait) = command("hedgerow wait --peer ben --hops 2 --timeout 3") else {
        panic!()
    };
    assert_eq!((wait.condition.peer.as_deref(), wait.hops), (Some("ben"), Some(2)));
    assert!(parse("hedgerow wait --peers 3").is_ok());
    assert!(parse("hedgerow wait --gone ben").is_ok());
    for wrong in ["", "--peers 1 --gone x", "--peers 1 --hops 1", "--peer p --hops 0", "--peers -1"]
    {
        assert!(parse(&format!("hedgerow wait {wrong}")).is_err(), "{wrong:?}");
    }
}

#[test]
fn metadata_and_json_do_not_get_in_each_others_way() {
    let arguments = parse("hedgerow metadata set {} --json").unwrap();
    assert!(arguments.json);
    assert!(!parse("hedgerow metadata set {}").unwrap().json);
}

#[test]
fn what_is_not_known_is_refused_with_words() {
    for wrong in ["hedgerow up --nmae x", "hedgerow fly", "hedgerow listen --count 0"] {
        let failure = usage_failure(&parse(wrong).unwrap_err());
        assert_eq!(failure.code, ErrorCode::Usage);
        assert!(!failure.message.contains('\n') && !failure.message.starts_with("error"));
    }
    for (wrong, advice) in [
        ("ping ben --count 0", "give a whole number from 1 on"),
        ("ping ben --count many", "give a whole number from 1 on"),
        ("watch --count -2", "give a whole number from 1 on"),
        ("ping ben --interval -1", "give seconds over 0 and up to 86400, such as 5 or 0.5"),
        ("trace ben --timeout soon", "give seconds over 0 and up to 86400, such as 5 or 0.5"),
        ("wait --peers -1", "give a whole number, such as 3"),
        ("wait --peer ben --hops 0", "give a whole number from 1 to 65535"),
    ] {
        let failure = usage_failure(&parse(&format!("hedgerow {wrong}")).unwrap_err());
        assert!(failure.message.ends_with(&format!(": {advice}")), "{wrong}: {failure:?}");
    }
    let failure = usage_failure(&parse("hedgerow up --nmae x").unwrap_err());
    assert_eq!(failure.message, "unexpected argument '--nmae' found");
}
