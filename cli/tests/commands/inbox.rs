//! The inbox: bounded, drained by `listen`, and nothing is lost in between.

use crate::node::Node;
use crate::process::Run;

#[test]
fn a_full_inbox_refuses_until_somebody_listens() {
    let (ann, ben) = Node::pair("bus.inbox_messages_max = 2");
    for text in ["one", "two"] {
        ann.run(&["send", "ben", text]).ok();
    }
    let error = ann.run(&["send", "ben", "three"]).error(6);
    assert_eq!((&error["code"], &error["reason"]), (&"rejected".into(), &"inbox_full".into()));
    let received = ben.run(&["listen", "--count", "2"]).ok();
    let texts: Vec<_> = received.iter().map(|message| message["text"].clone()).collect();
    assert_eq!(texts, ["one", "two"]);
    ann.run(&["send", "ben", "four"]).ok();
}

#[test]
fn a_message_waits_for_the_next_listener_when_one_goes() {
    let (ann, ben) = Node::pair("");
    let mut first = Run::start_by_lines(ben.home(), &["listen", "--json"]);
    ann.run(&["send", "ben", "one"]).ok();
    assert!(first.line().contains("one"));
    first.kill();
    ann.run(&["send", "ben", "two"]).ok();
    let message = ben.run(&["listen", "--count", "1"]).ok().remove(0);
    // The first one may come again if its listener was killed before it confirmed it.
    if message["text"] == "one" {
        let message = ben.run(&["listen", "--count", "1"]).ok().remove(0);
        assert_eq!(message["text"], "two");
    } else {
        assert_eq!(message["text"], "two");
    }
}
