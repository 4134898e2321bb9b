use super::*;
use crate::Power;
use crate::name::tests::shown;

const OTHER: DeviceAddress = DeviceAddress([2, 0, 0, 0, 0, 2]);
const THIRD: DeviceAddress = DeviceAddress([2, 0, 0, 0, 0, 3]);

/// A radio that sees two others of its network.
fn radio() -> Groups {
    let mut groups = Groups::new();
    groups.show(shown(1, 1, Power::Mains));
    groups.on_device(Instant::now(), OTHER, shown(1, 2, Power::Mains), false);
    groups.on_device(Instant::now(), THIRD, shown(1, 3, Power::Mains), false);
    groups
}

fn orders(groups: &mut Groups) -> Vec<Order> {
    std::iter::from_fn(|| groups.poll()).collect()
}

fn in_group(owns: bool) -> Groups {
    let mut groups = radio();
    groups.on_request(Instant::now(), OTHER);
    groups.on_started(Instant::now(), owns, None);
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
    let connect = Order::Connect { device: OTHER, intent: 14, way: Way::Again };
    assert_eq!(orders(&mut groups), [connect]);
    groups.on_started(Instant::now(), true, None);
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
    groups.on_device(Instant::now(), OTHER, shown(1, 2, Power::Mains), true);
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    assert!(matches!(orders(&mut groups)[..], [Order::Connect { way: Way::Joined, .. }]));
}

#[tokio::test(start_paused = true)]
async fn an_owner_invites_and_a_client_cannot_be_in_two_groups() {
    let mut owner = in_group(true);
    owner.on_dial(Instant::now(), DialId(7), THIRD);
    assert_eq!(orders(&mut owner), [Order::Invite(THIRD)]);
    let mut client = in_group(false);
    client.on_device(Instant::now(), THIRD, shown(1, 3, Power::Mains), true);
    client.on_dial(Instant::now(), DialId(7), THIRD);
    assert!(unavailable(orders(&mut client).first()));
    let mut free = radio();
    free.on_invitation(Instant::now(), OTHER);
    assert!(matches!(orders(&mut free)[..], [Order::Connect { way: Way::Joined, .. }]));
    free.on_started(Instant::now(), false, None);
    free.on_invitation(Instant::now(), THIRD);
    assert_eq!(orders(&mut free), []);
}

#[tokio::test(start_paused = true)]
async fn an_invitation_goes_before_a_negotiation_that_is_under_way() {
    for inviting in [OTHER, THIRD] {
        let mut groups = radio();
        groups.on_dial(Instant::now(), DialId(7), OTHER);
        orders(&mut groups);
        groups.on_invitation(Instant::now(), DeviceAddress([9; 6]));
        assert_eq!(orders(&mut groups), [], "a stranger");
        groups.on_invitation(Instant::now(), inviting);
        let join = Order::Connect { device: inviting, intent: 0, way: Way::Joined };
        assert_eq!(orders(&mut groups), [Order::Abandon, join]);
        groups.on_started(Instant::now(), false, None);
        let at = Endpoint::new("[fe80::2%9]:4040");
        groups.on_neighbour(at, shown(1, 2, Power::Mains).beacon);
        assert!(matches!(orders(&mut groups)[..], [Order::Dial { dial: DialId(7), .. }]));
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_lets_in_who_may_meet_it() {
    let mut owner = in_group(true);
    owner.on_knock(THIRD);
    assert_eq!(orders(&mut owner), [Order::Admit(THIRD)]);
    owner.on_device(Instant::now(), THIRD, shown(2, 3, Power::Mains), false);
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
    groups.on_device(Instant::now(), THIRD, shown(1, 3, Power::Mains), true);
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    groups.on_dial(Instant::now(), DialId(8), THIRD);
    let orders = orders(&mut groups);
    assert!(
        matches!(orders[..], [Order::Connect { device: THIRD, way: Way::Joined, .. }]),
        "{orders:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn strangers_and_those_who_come_while_it_is_busy_are_told_no() {
    let mut groups = radio();
    groups.on_device(Instant::now(), THIRD, shown(2, 3, Power::Mains), false);
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
async fn who_asks_before_it_is_known_is_answered_once_it_is() {
    let stranger = DeviceAddress([9; 6]);
    let mut groups = radio();
    groups.on_request(Instant::now(), stranger);
    assert_eq!(orders(&mut groups), [], "it may be another program's affair");
    groups.on_device(Instant::now(), stranger, shown(1, 9, Power::Mains), false);
    let connect = Order::Connect { device: stranger, intent: 14, way: Way::Negotiated };
    assert_eq!(orders(&mut groups), [connect]);
    let mut groups = radio();
    for number in 0..100 {
        groups.on_request(Instant::now(), DeviceAddress([7, number, 0, 0, 0, 0]));
    }
    assert_eq!(groups.asking.len(), ASKING_MAX);
}

#[tokio::test(start_paused = true)]
async fn who_asks_an_owner_for_a_group_is_asked_into_its_own() {
    let mut owner = in_group(true);
    owner.on_request(Instant::now(), THIRD);
    assert_eq!(orders(&mut owner), [Order::Reject(THIRD), Order::Invite(THIRD)]);
    let mut client = in_group(false);
    client.on_request(Instant::now(), THIRD);
    assert_eq!(orders(&mut client), [Order::Reject(THIRD)]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_formed_again_is_negotiated_with_the_same_intent() {
    let mut groups = radio();
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    let connect = |way| Order::Connect { device: OTHER, intent: 14, way };
    assert_eq!(orders(&mut groups), [connect(Way::Again)]);
    groups.on_no_more();
    assert_eq!(orders(&mut groups), [connect(Way::Negotiated)]);
    groups.on_started(Instant::now(), true, None);
    groups.on_no_more();
    assert_eq!(orders(&mut groups), []);
    groups.on_request(Instant::now(), THIRD);
    orders(&mut groups);
    groups.on_no_more();
    groups.on_no_more();
    assert_eq!(orders(&mut groups), [Order::Invite(THIRD)], "asked once more");
}

#[tokio::test(start_paused = true)]
async fn a_group_of_another_program_is_left_alone_until_it_ends() {
    let mut groups = radio();
    groups.on_dial(Instant::now(), DialId(7), OTHER);
    orders(&mut groups);
    groups.on_taken();
    assert!(unavailable(orders(&mut groups).first()));
    groups.on_dial(Instant::now(), DialId(8), OTHER);
    assert!(unavailable(orders(&mut groups).first()));
    groups.on_request(Instant::now(), OTHER);
    groups.on_knock(OTHER);
    groups.on_invitation(Instant::now(), OTHER);
    assert_eq!(orders(&mut groups), [Order::Reject(OTHER)]);
    assert_eq!(groups.next_timeout(), None, "it is not left");
    groups.on_finished(Instant::now());
    assert!(groups.is_free());
}

#[tokio::test(start_paused = true)]
async fn when_a_group_ends_what_was_known_of_devices_is_sought_anew() {
    let mut groups = in_group(false);
    groups.on_finished(Instant::now());
    assert_eq!(orders(&mut groups), [Order::Forget]);
    groups.on_finished(Instant::now());
    assert_eq!(orders(&mut groups), [], "once");
}

#[tokio::test(start_paused = true)]
async fn each_dial_is_answered_once_whatever_happens() {
    let answered = |orders: &[Order]| {
        let answers = orders.iter().filter(|o| matches!(o, Order::Failed(DialId(7), _)));
        answers.count()
    };
    type End = fn(&mut Groups);
    let ends: [End; 6] = [
        Groups::on_taken,
        |groups| groups.on_failed("refused"),
        |groups| {
            assert!(groups.on_cancel(DialId(7)));
        },
        |groups| groups.on_timeout(Instant::now() + FORMED_WITHIN),
        |groups| groups.on_radio_gone("it is gone"),
        |groups| {
            groups.on_started(Instant::now(), true, None);
            groups.on_finished(Instant::now());
        },
    ];
    for (at, end) in ends.into_iter().enumerate() {
        let mut groups = radio();
        groups.on_dial(Instant::now(), DialId(7), OTHER);
        end(&mut groups);
        groups.on_failed("late");
        groups.on_finished(Instant::now());
        assert!(!groups.on_cancel(DialId(7)));
        assert_eq!(answered(&orders(&mut groups)), 1, "end {at}");
        groups.on_finished(Instant::now());
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

#[tokio::test(start_paused = true)]
async fn a_dial_that_nobody_answers_keeps_an_idle_group_for_a_while_and_no_longer() {
    let mut groups = in_group(true);
    let begin = Instant::now();
    groups.on_dial(begin, DialId(7), THIRD);
    assert_eq!(orders(&mut groups), [Order::Invite(THIRD)]);
    groups.on_timeout(begin + IDLE_MAX);
    assert_eq!(orders(&mut groups), [], "it may be on its way");
    groups.on_timeout(begin + IDLE_MAX * 2);
    assert_eq!(orders(&mut groups), [Order::Leave]);
    groups.on_finished(Instant::now());
    let failed = orders(&mut groups);
    assert!(matches!(failed[..], [Order::Failed(DialId(7), _), Order::Forget]), "{failed:?}");
}

#[test]
fn a_crowd_of_devices_is_bounded() {
    let mut groups = Groups::new();
    let mut sight = |bytes| {
        groups.on_device(Instant::now(), DeviceAddress(bytes), shown(1, 1, Power::Mains), false);
        groups.whom().len()
    };
    for number in 0..=u8::MAX {
        assert_eq!(sight([2, 0, 0, 0, 0, number]), usize::from(number) + 1);
    }
    assert_eq!(sight([2, 2, 3, 4, 5, 6]), DEVICES_MAX);
    assert_eq!(sight([2, 0, 0, 0, 0, 3]), DEVICES_MAX);
}

/// The node that has this address tells of itself over another link.
fn tells(groups: &mut Groups, address: u8, wants: bool, key: Option<Key>) -> DeviceAddress {
    let shown = shown(1, address, Power::Mains);
    let own = groups.own_device().unwrap();
    let told = Told { shown, wants: wants.then_some(own).into_iter().collect(), key };
    let mut keys = (0..=u8::MAX).filter_map(|byte| PeerKey::from_bytes([byte; 32]).ok());
    let from = keys.nth(address.into()).unwrap();
    let device = told.device();
    groups.on_told(Instant::now(), from, Some(told));
    device
}

/// A radio that sees nobody.
fn alone(address: u8) -> Groups {
    let mut groups = Groups::new();
    groups.show(shown(1, address, Power::Mains));
    groups.set_radio(true);
    groups
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_tells_of_itself_is_met_without_a_negotiation() {
    // The lower label owns the group.
    let mut owner = alone(1);
    let client = tells(&mut owner, 2, false, None);
    owner.on_dial(Instant::now(), DialId(7), client);
    assert_eq!(orders(&mut owner), [Order::Make]);
    let (name, passphrase) = ("DIRECT-x-hedgerow".to_owned(), "12345678".to_owned());
    owner.on_started(Instant::now(), true, Some(Secret { mhz: 5_180, name, passphrase }));
    let told = owner.tells().unwrap();
    assert_eq!(told.wants, [client]);
    let key = told.key.clone().unwrap();
    assert_eq!((key.owner, key.name.as_str()), (told.device(), "DIRECT-x-hedgerow"));

    let mut other = alone(2);
    tells(&mut other, 1, true, Some(key.clone()));
    assert_eq!(orders(&mut other), [Order::Enter(key.clone())]);
    other.on_started(Instant::now(), false, None);
    assert_eq!(other.tells().unwrap().key, Some(key), "it may bring others in");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_to_own_the_group_waits_for_its_key_and_then_asks_by_radio() {
    let mut groups = alone(2);
    let owner = tells(&mut groups, 1, false, None);
    groups.on_dial(Instant::now(), DialId(7), owner);
    assert_eq!(orders(&mut groups), []);
    assert_eq!(groups.tells().unwrap().wants, [owner]);
    groups.on_device(Instant::now(), OTHER, shown(1, 1, Power::Mains), false);
    let at = groups.next_timeout().unwrap();
    groups.on_timeout(at);
    let asked = orders(&mut groups);
    assert!(matches!(asked[..], [Order::Connect { device: OTHER, .. }]), "{asked:?}");

    let mut groups = alone(2);
    let owner = tells(&mut groups, 1, false, None);
    groups.on_dial(Instant::now(), DialId(7), owner);
    let at = groups.next_timeout().unwrap();
    groups.on_timeout(at);
    let why = DialFailure::Other("the other device made no group".to_owned());
    assert_eq!(orders(&mut groups), [Order::Failed(DialId(7), why)]);
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_is_seen_as_well_is_in_sight_once() {
    let mut groups = alone(1);
    groups.on_device(Instant::now(), OTHER, shown(1, 2, Power::Mains), false);
    assert_eq!(groups.whom().into_keys().collect::<Vec<_>>(), [OTHER]);
    let told = tells(&mut groups, 2, false, None);
    assert_eq!(groups.whom().into_keys().collect::<Vec<_>>(), [told]);
    groups.set_radio(false);
    assert_eq!(groups.whom().into_keys().collect::<Vec<_>>(), [OTHER], "it is not met so now");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_opens_nothing_is_forgotten() {
    let mut groups = alone(2);
    let key = crate::told::tests::group(DeviceAddress::of_label([1; 5]), 7);
    let owner = tells(&mut groups, 1, false, Some(key.clone()));
    groups.on_dial(Instant::now(), DialId(7), owner);
    assert_eq!(orders(&mut groups), [Order::Enter(key)]);
    groups.on_finished(Instant::now());
    let failed = orders(&mut groups);
    assert!(matches!(failed[..], [Order::Abandon, Order::Failed(DialId(7), _)]), "{failed:?}");
    groups.on_dial(Instant::now(), DialId(8), owner);
    assert_eq!(orders(&mut groups), [], "it is waited for another one");
}

#[tokio::test(start_paused = true)]
async fn strangers_that_tell_are_not_heeded_and_a_crowd_is_bounded() {
    let mut groups = alone(1);
    let shown = shown(2, 9, Power::Mains);
    let wants = vec![groups.own_device().unwrap()];
    let keys = || (0..=u8::MAX).filter_map(|byte| PeerKey::from_bytes([byte; 32]).ok());
    let stranger = Told { shown, wants, key: None };
    groups.on_told(Instant::now(), keys().next().unwrap(), Some(stranger.clone()));
    assert!(groups.whom().is_empty() && orders(&mut groups).is_empty());
    for (number, from) in keys().enumerate() {
        let address = u8::try_from(number).unwrap() + 2;
        let shown = crate::name::tests::shown(1, address, Power::Mains);
        groups.on_told(Instant::now(), from, Some(Told { shown, wants: vec![], key: None }));
    }
    assert_eq!(groups.whom().len(), told::TELLERS_MAX.min(keys().count()));
}

/// Whoever is asked may be in the group that comes into sight, and does not answer.
#[tokio::test(start_paused = true)]
async fn a_group_that_comes_into_sight_is_joined_in_place_of_a_negotiation() {
    let join = Order::Connect { device: THIRD, intent: 0, way: Way::Joined };
    let mut seen = radio();
    seen.on_dial(Instant::now(), DialId(7), OTHER);
    orders(&mut seen);
    seen.on_device(Instant::now(), THIRD, shown(1, 3, Power::Mains), true);
    assert_eq!(orders(&mut seen), [Order::Abandon, join.clone()]);
    seen.on_device(Instant::now(), THIRD, shown(1, 3, Power::Mains), true);
    assert_eq!(orders(&mut seen), [], "once");
    seen.on_started(Instant::now(), false, None);
    seen.on_neighbour(Endpoint::new("[fe80::2%9]:4040"), shown(1, 2, Power::Mains).beacon);
    assert!(matches!(orders(&mut seen)[..], [Order::Dial { dial: DialId(7), .. }]));

    let mut strange = radio();
    strange.on_dial(Instant::now(), DialId(7), OTHER);
    orders(&mut strange);
    strange.on_device(Instant::now(), THIRD, shown(2, 3, Power::Mains), true);
    assert_eq!(orders(&mut strange), [], "a group of another network");
}

/// A neighbour that tells keys of no group cannot keep the radio at it.
#[tokio::test(start_paused = true)]
async fn wishes_that_lead_to_nothing_are_heeded_less_and_less() {
    let mut groups = alone(2);
    let mut entered = Vec::new();
    for number in 0..3_600 {
        let key = crate::told::tests::group(DeviceAddress::of_label([1; 5]), number);
        tells(&mut groups, 1, true, Some(key));
        if matches!(orders(&mut groups)[..], [Order::Enter(_)]) {
            entered.push(number);
            groups.on_failed("no");
            orders(&mut groups);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(entered.len() < 20 && entered[1] == 10, "{entered:?}");
    // Who makes a link of it is heeded at once.
    groups.on_links(Instant::now(), 1);
    tells(
        &mut groups,
        1,
        true,
        Some(crate::told::tests::group(DeviceAddress::of_label([1; 5]), 9)),
    );
    assert!(matches!(orders(&mut groups)[..], [Order::Enter(_)]));
}
