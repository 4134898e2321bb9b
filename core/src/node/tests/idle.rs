//! A mesh in which nothing happens.

use super::*;

#[test]
fn an_idle_mesh_sends_keepalives_only() {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(30));
    let before = world.now;
    let mut bytes = 0;
    while world.now.since(before) < Duration::from_secs(100) {
        world.run(Duration::from_millis(2));
        bytes += world
            .flight
            .iter()
            .filter(|(at, _)| *at > world.now + DELAY - Duration::from_millis(2))
            .map(
                |(_, flying)| {
                    if let Flying::Bytes { bytes, .. } = flying { bytes.len() } else { 0 }
                },
            )
            .sum::<usize>();
    }
    // Four directions; 29 bytes in five seconds each.
    assert!(bytes > 0 && bytes <= 4 * 29 * 21, "{bytes} bytes in 100 s");
}
