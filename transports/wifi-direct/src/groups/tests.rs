use super::*;
use crate::Power;
use crate::name::tests::shown;

const OTHER: DeviceAddress = DeviceAddress([2, 0, 0, 0, 0, 2]);
const THIRD: DeviceAddress = DeviceAddress([2, 0, 0, 0, 0, 3]);

/// A radio that sees two others of its network.
fn radio() -> Groups {
    let mut groups = Groups::new();
    groups.show(shown(1, 1, Power::Mains));
    assert!(groups.on_device(OTHER, shown(1, 2, Power::Mains), false));
    assert!(groups.on_device(THIRD, shown(1, 3, Power::Mains), false));
    groups
}

fn orders(groups: &mut Groups) -> Vec<Order> {
    std::iter::from_fn(|| groups.poll()).collect()
}

fn in_group(owns: bool) -> Groups {
    let mut groups = radio();
    groups.on_request(Instant::now(), OTHER);
    groups.on_started(Instant::now(), owns);
    orders(&mut groups);
    groups
}

fn unavailable(order: Option<&Order>) -> bool {
    matches!(order, Some(Order::Failed(_, DialFailure::Unavailable(_))))
}

#[tokio::test(start_paused = true)]
async fn who_is_dialled_is_met_in_the_group_that_forms() {
    let mut groups = radio();
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    let connect = Order::Connect { device: OTHER, intent: 14, joins: false };
    assert_eq!(orders(&mut groups), [connect]);
    groups.on_started(Instant::now(), true);
    let at = Endpoint::new("[fe80::2%9]:4040");
    groups.on_neighbour(Endpoint::new("[fe80::3%9]:4040"), shown(1, 3, Power::Mains).beacon);
    assert_eq!(orders(&mut groups), [], "somebody else");
    groups.on_neighbour(at.clone(), shown(1, 2, Power::Mains).beacon);
    let dial = Order::Dial { dial: DialId(7), at, known_as: OTHER.endpoint() };
    assert_eq!(orders(&mut groups), [dial]);
    groups.on_dial(Instant::now(), DialId(8), THIRD);
    assert!(matches!(orders(&mut groups)[..], [Order::Dial { dial: DialId(8), .. }]));
}

#[tokio::test(start_paused = true)]
async fn the_group_of_an_owner_is_joined() {
    let mut groups = radio();
    groups.on_device(OTHER, shown(1, 2, Power::Mains), true);
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    assert!(matches!(orders(&mut groups)[..], [Order::Connect { joins: true, .. }]));
}

#[tokio::test(start_paused = true)]
async fn an_owner_invites_and_a_client_cannot_be_in_two_groups() {
    let mut owner = in_group(true);
    owner.on_dial(Instant::now(), DialId(7), THIRD);
    assert_eq!(orders(&mut owner), [Order::Invite(THIRD)]);
    let mut client = in_group(false);
    client.on_device(THIRD, shown(1, 3, Power::Mains), true);
    client.on_dial(Instant::now(), DialId(7), THIRD);
    assert!(unavailable(orders(&mut client).first()));
    let mut free = radio();
    free.on_invitation(Instant::now(), OTHER);
    assert!(matches!(orders(&mut free)[..], [Order::Connect { joins: true, .. }]));
    free.on_invitation(Instant::now(), THIRD);
    assert_eq!(orders(&mut free), []);
}

#[tokio::test(start_paused = true)]
async fn an_owner_lets_in_who_may_meet_it() {
    let mut owner = in_group(true);
    owner.on_knock(THIRD);
    assert_eq!(orders(&mut owner), [Order::Admit(THIRD)]);
    owner.on_device(THIRD, shown(2, 3, Power::Mains), false);
    owner.on_knock(THIRD);
    owner.on_knock(DeviceAddress([9; 6]));
    assert_eq!(orders(&mut owner), []);
    for mut groups in [radio(), in_group(false)] {
        groups.on_knock(THIRD);
        assert_eq!(orders(&mut groups), []);
    }
}

#[tokio::test(start_paused = true)]
async fn for_who_may_be_in_a_group_its_owner_is_joined() {
    let mut groups = radio();
    groups.on_device(THIRD, shown(1, 3, Power::Mains), true);
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    groups.on_dial(Instant::now(), DialId(8), THIRD);
    let orders = orders(&mut groups);
    assert!(
        matches!(orders[..], [Order::Connect { device: THIRD, joins: true, .. }]),
        "{orders:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn strangers_and_those_who_come_while_it_is_busy_are_told_no() {
    let mut groups = radio();
    groups.on_request(Instant::now(), DeviceAddress([9; 6]));
    assert_eq!(orders(&mut groups), [Order::Reject(DeviceAddress([9; 6]))]);
    groups.on_device(THIRD, shown(2, 3, Power::Mains), false);
    groups.on_request(Instant::now(), THIRD);
    assert_eq!(orders(&mut groups), [Order::Reject(THIRD)], "it is of another network");
    groups.on_invitation(Instant::now(), THIRD);
    assert_eq!(orders(&mut groups), []);

    let mut groups = radio();
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    orders(&mut groups);
    groups.on_request(Instant::now(), THIRD);
    assert_eq!(orders(&mut groups), [Order::Reject(THIRD)]);
    groups.on_request(Instant::now(), OTHER);
    assert_eq!(orders(&mut groups), [], "both ask at once");
    groups.on_dial(Instant::now(), DialId(8), THIRD);
    assert!(unavailable(orders(&mut groups).first()));
}

#[tokio::test(start_paused = true)]
async fn each_dial_is_answered_once_whatever_happens() {
    let answered = |orders: &[Order]| {
        let answers = orders.iter().filter(|o| matches!(o, Order::Failed(DialId(7), _)));
        answers.count()
    };
    type End = fn(&mut Groups);
    let ends: [End; 5] = [
        |groups| groups.on_failed("refused"),
        |groups| {
            assert!(groups.on_cancel(DialId(7)));
        },
        |groups| groups.on_timeout(Instant::now() + FORMED_WITHIN),
        |groups| groups.on_radio_gone("it is gone"),
        |groups| {
            groups.on_started(Instant::now(), true);
            groups.on_finished();
        },
    ];
    for (at, end) in ends.into_iter().enumerate() {
        let mut groups = radio();
        groups.on_dial(Instant::now(), DialId(7), OTHER);
        end(&mut groups);
        groups.on_failed("late");
        groups.on_finished();
        assert!(!groups.on_cancel(DialId(7)));
        assert_eq!(answered(&orders(&mut groups)), 1, "end {at}");
        assert!(groups.is_free());
    }
    let mut groups = radio();
    groups.on_dial(Instant::now(), DialId(7), DeviceAddress([9; 6]));
    assert_eq!(orders(&mut groups), [Order::Failed(DialId(7), DialFailure::Unreachable)]);
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_given_up_ends_the_forming_unless_another_waits_for_it() {
    let mut groups = radio();
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    groups.on_dial(Instant::now(), DialId(8), OTHER);
    orders(&mut groups);
    groups.on_cancel(DialId(7));
    assert_eq!(orders(&mut groups), [Order::Failed(DialId(7), DialFailure::Cancelled)]);
    groups.on_cancel(DialId(8));
    let failed = Order::Failed(DialId(8), DialFailure::Cancelled);
    assert_eq!(orders(&mut groups), [failed, Order::Abandon]);
}

#[tokio::test(start_paused = true)]
async fn a_group_without_links_is_left_and_one_with_links_is_not() {
    let mut groups = in_group(true);
    let begin = Instant::now();
    assert_eq!(groups.next_timeout(), Some(begin + IDLE_MAX));
    groups.on_links(begin, 1);
    assert_eq!(groups.next_timeout(), None);
    let later = begin + IDLE_MAX * 3;
    groups.on_timeout(later);
    assert_eq!(orders(&mut groups), []);
    groups.on_links(later, 0);
    groups.on_timeout(later + IDLE_MAX - Duration::from_millis(1));
    assert_eq!(orders(&mut groups), []);
    groups.on_timeout(later + IDLE_MAX);
    assert_eq!(orders(&mut groups), [Order::Leave]);
}

#[test]
fn a_crowd_of_devices_is_bounded() {
    let mut groups = Groups::new();
    for number in 0..=u8::MAX {
        assert!(groups.on_device(DeviceAddress([number; 6]), shown(1, 1, Power::Mains), false));
    }
    assert!(!groups.on_device(DeviceAddress([1, 2, 3, 4, 5, 6]), shown(1, 1, Power::Mains), false));
    assert!(groups.on_device(DeviceAddress([3; 6]), shown(1, 1, Power::Mains), true));
}
