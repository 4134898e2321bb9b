//! The figures of docs/scale.md can be measured, repeat, and make a page.

use std::sync::Mutex;
use std::time::Duration;

use hedgerow_sim::Medium;
use hedgerow_sim::scale::{self, Figures, Kept, Options, Row, Shape};

fn measure(kept: &Kept, told: &Mutex<Vec<String>>) -> Figures {
    let command = "the command".to_owned();
    let options = Options { seed: 1, sizes: vec![10], radio_nodes: 9, restart_nodes: 12, command };
    scale::measure(&options, kept, &|line| told.lock().unwrap().push(line.to_owned()))
}

#[test]
fn rows_that_are_kept_are_not_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows");
    let told = Mutex::default();
    let first = measure(&Kept::open(&file).unwrap(), &told);
    assert!(told.lock().unwrap().iter().any(|line| line.starts_with("grid of 10")));
    // As after a stop behind the first rows.
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 4);
    let two: String = text.split_inclusive('\n').take(2).collect();
    for (rows, is_all) in [(text.clone(), true), (two, false)] {
        std::fs::write(&file, rows).unwrap();
        told.lock().unwrap().clear();
        let again = measure(&Kept::open(&file).unwrap(), &told);
        assert_eq!(told.lock().unwrap().iter().all(|line| !line.contains(" of ")), is_all);
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 4);
        let shapes =
            |figures: &Figures| figures.lan.iter().map(|row| row.shape).collect::<Vec<_>>();
        assert_eq!(shapes(&again), shapes(&first));
        if is_all {
            assert_eq!(format!("{:?}", again.lan), format!("{:?}", first.lan));
        }
    }
    std::fs::write(&file, "something else\n").unwrap();
    assert!(Kept::open(&file).is_err());
}

#[test]
fn small_meshes_are_measured_and_shown() {
    let figures = measure(&Kept::default(), &Mutex::default());
    let shapes: Vec<Shape> = figures.lan.iter().map(|row| row.shape).collect();
    assert_eq!(shapes, Shape::ALL);
    for row in figures.lan.iter().chain([&figures.radio]) {
        let is_radio = std::ptr::eq(row, &raw const figures.radio);
        let within = Duration::from_secs(if is_radio { 20 } else { 2 });
        assert!(row.cold.is_some_and(|cold| cold < within), "{row:?}");
        assert!(row.peers_seen == (row.nodes - 1) as f64);
        assert!(row.cold_sent.handshake.frames >= 5 * row.edges as u64, "{row:?}");
        assert!((0.1..6.2).contains(&row.idle_per_direction()), "{row:?}");
        assert_eq!(row.idle_sent.control.frames, 0, "only keepalives: {row:?}");
        assert!(row.churn_per_node() > row.idle_per_node(), "{row:?}");
        assert!(
            row.heal.is_some()
                && row.rejoin.is_some_and(|rejoin| {
                    rejoin.sent.handshake.frames > 0
                        && rejoin.advert_bytes > 0
                        && rejoin.beside() > 0
                })
        );
        assert!(row.bytes_per_peer.is_some_and(|bytes| (500.0..50_000.0).contains(&bytes)));
        assert!(row.spf.routes > Duration::ZERO && row.spf.alternates > Duration::ZERO);
    }
    for start in [&figures.restart.first, &figures.restart.again] {
        assert!(start.one_mesh.is_some() && start.quiet >= start.one_mesh, "{start:?}");
        assert!(start.links_standing >= 11 && start.links_made >= 11, "{start:?}");
        assert!(start.peak_share < 1.0 && start.memory > 10_000.0, "{start:?}");
    }
    assert!(figures.lan[0].alternates == 0.0 && figures.lan[2].alternates > 0.3);
    let page = scale::page(&figures);
    for words in [
        "the command",
        "## Line",
        "## Grid",
        "## Random places",
        "## All restart at once",
        "## Aims",
        "| 10 | 9 |",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // All but the processor's time repeats.
    let again = scale::row(Shape::Grid, 10, Medium::lan(), 1, &|_| ());
    let figures_of = |row: &Row| {
        format!("{:?}", Row { spf: Default::default(), took: Duration::ZERO, ..row.clone() })
    };
    assert_eq!(figures_of(&figures.lan[1]), figures_of(&again));
}
