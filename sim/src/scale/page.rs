//! The page that shows the figures: docs/scale.md.

use std::fmt::Write;

use hedgerow_core::time::Duration;

use super::restart::{IN_REACH, SLOTS, Start};
use super::{APART, CHURN, Figures, IDLE, LOSSES, Row, Shape};
use crate::scale::mesh::RANDOM_DEGREE;

/// What others have published, in bytes of control traffic a second and node.
const OTHERS: [(&str, usize, &str); 6] = [
    ("babel", 49, "135"),
    ("Yggdrasil", 49, "219"),
    ("batman-adv", 49, "2,640"),
    ("OLSR", 49, "3,000"),
    ("babel", 100, "245"),
    ("babel", 256, "574"),
];

/// The page in Markdown.
#[must_use]
pub fn write(figures: &Figures) -> String {
    let mut page = String::new();
    head(&mut page, figures);
    for shape in Shape::ALL {
        let rows: Vec<&Row> = figures.lan.iter().filter(|row| row.shape == shape).collect();
        if !rows.is_empty() {
            table(&mut page, &format!("## {}", title(shape)), &rows);
        }
        left_out(&mut page, figures, shape);
    }
    table(
        &mut page,
        "## Grid over links like Bluetooth LE's\n\n20 KB/s and 30 ms one way, 8 links a node; \
         whoever comes into reach is seen within a second, a dial takes 150 to 300 ms.",
        &[&figures.radio],
    );
    restart(&mut page, figures);
    others(&mut page, figures);
    aims(&mut page, figures);
    took(&mut page, figures);
    page
}

fn left_out(page: &mut String, figures: &Figures, shape: Shape) {
    let gigabytes = |bytes: u64| bytes / 1_000_000_000;
    let of_shape = figures.left_out.iter().filter(|(other, ..)| *other == shape);
    for (_, nodes, needed) in of_shape {
        let _ = writeln!(
            page,
            "{} nodes take about {} GB of memory in one process; there were {}.\n",
            number(*nodes as f64),
            gigabytes(*needed),
            gigabytes(figures.memory_bytes),
        );
    }
}

fn title(shape: Shape) -> String {
    match shape {
        Shape::Line => "Line".to_owned(),
        Shape::Grid => "Grid".to_owned(),
        Shape::Random => format!("Random places, {RANDOM_DEGREE} neighbours or more on average"),
    }
}

fn head(page: &mut String, figures: &Figures) {
    let Figures { options, .. } = figures;
    let _ = write!(
        page,
        "# How the mesh grows\n\n\
         Whole nodes in a simulated world: real cores, real signatures and handshakes, virtual time. \
         Written by\n\n```\n{}\n```\n\n\
         with seed {}. The same seed gives the same figures but one: the processor's time is a \
         real clock's. Meshes over 49 nodes check each signature once for all nodes and \
         seal with a stand-in; what is sent has the same size.\n\n\
         Links are like a local network's unless said otherwise: 100 MB/s, 0.3 to 0.4 ms one way; \
         whoever comes into reach is seen within 200 ms. Bytes are counted where they leave the \
         core, with all headers and seals, without those of TCP or of a radio.\n\n\
         | column | what it is |\n|---|---|\n\
         | full graph | from the start of all nodes at one moment until every node's graph has all \
         peers and all edges; `-`: it did not come to that |\n\
         | sent | what a node sent until then; in brackets, of that, handshakes of links |\n\
         | idle | control bytes a second and node while nothing happens, over {} s |\n\
         | idle, direction | the same for each direction of a link |\n\
         | churn | control bytes a second and node while 1 % of the nodes change places each second: \
         both of a pair lose all their links, and are among others at once; over {} s, or until 160 nodes have moved |\n\
         | dead link | {LOSSES} links are lost one after the other, both ends are told at once: the \
         longest time until frames of a sample of pairs arrive on another way; first where the \
         link's end has a loop-free alternate, then where it has none |\n\
         | healed | two halves were apart for {} s: from when they are in reach again until every \
         graph is complete |\n\
         | rejoin | the node in the middle was apart for {} s: control bytes on all its links, both \
         ways, beside adverts; in brackets those of adverts, and those of handshakes |\n\
         | memory | what a node has allocated for each peer it knows, above what it has alone; its \
         links included |\n\
         | routes | the processor's time for one computation of all routes; and of all alternates, \
         which comes after it and hurries nobody |\n\
         | alternates | the share of pairs (node, destination) for which the node has a loop-free \
         alternate (RFC 5286, inequality 1) at hand |\n\n",
        options.command,
        options.seed,
        IDLE.as_secs(),
        CHURN.as_secs(),
        APART.as_secs(),
        APART.as_secs(),
    );
}

fn table(page: &mut String, title: &str, rows: &[&Row]) {
    let _ = write!(
        page,
        "{title}\n\n\
         | nodes | links | full graph | sent | idle | idle, direction | churn | dead link | healed | \
         rejoin | memory | routes | alternates |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for row in rows {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} ({}) | {:.1} B/s | {:.2} B/s | {} B/s | {} | {} | {} | {} | {}; {} | \
             {:.0} % |",
            number(row.nodes as f64),
            number(row.edges as f64),
            time(row.cold),
            bytes(row.cold_sent.total() as f64 / row.nodes as f64),
            bytes(row.cold_sent.handshake.bytes as f64 / row.nodes as f64),
            row.idle_per_node(),
            row.idle_per_direction(),
            number(row.churn_per_node()),
            row.dead_link(),
            time(row.heal),
            row.rejoin.map_or("-".into(), |rejoin| format!(
                "{} ({}; {})",
                bytes(rejoin.beside() as f64),
                bytes(rejoin.advert_bytes as f64),
                bytes(rejoin.sent.handshake.bytes as f64)
            )),
            row.bytes_per_peer.map_or("-".into(), bytes),
            time(Some(row.spf.routes)),
            time(Some(row.spf.alternates)),
            row.alternates * 100.0,
        );
    }
    page.push('\n');
}

impl Row {
    /// Control bytes a second and node while nothing happens.
    #[must_use]
    pub fn idle_per_node(&self) -> f64 {
        let bytes = self.idle_sent.control_bytes() as f64;
        bytes / self.idle_time.as_secs_f64() / self.nodes as f64
    }

    /// The same for each direction of a link.
    #[must_use]
    pub fn idle_per_direction(&self) -> f64 {
        self.idle_per_node() * self.nodes as f64 / (2 * self.edges) as f64
    }

    /// Control bytes a second and node while nodes change places.
    #[must_use]
    pub fn churn_per_node(&self) -> f64 {
        let bytes = self.churn_sent.control_bytes() as f64;
        bytes / self.churn_time.as_secs_f64() / self.nodes as f64
    }

    fn dead_link(&self) -> String {
        let one = |affected: &super::Affected| match affected.pairs {
            0 => "-".to_owned(),
            _ if affected.longest.is_zero() => "at once".to_owned(),
            _ => time(Some(affected.longest)),
        };
        format!("{}, {}", one(&self.repair_with), one(&self.repair_without))
    }
}

fn restart(page: &mut String, figures: &Figures) {
    let restart = &figures.restart;
    let _ = write!(
        page,
        "## All restart at once\n\n\
         {} nodes in random places with {IN_REACH} others in reach on average and {SLOTS} links \
         each, 20 KB/s and 30 ms one way: first from cold; then, when all is at rest, all processes \
         end and start again in one moment, and have forgotten all but their keys and epochs. A new neighbour may be \
         sent half of what its link carries in 10 s at once: links are full in the first seconds of a \
         start, when there is nothing else to carry; then adverts keep to a tenth.\n\n\
         | | from cold | all restart |\n|---|---:|---:|\n",
        restart.nodes,
    );
    let share = |share: f64| format!("{:.0} %", share * 100.0);
    let mut line = |what: &str, figure: &dyn Fn(&Start) -> String| {
        let [first, again] = [&restart.first, &restart.again].map(figure);
        let _ = writeln!(page, "| {what} | {first} | {again} |");
    };
    line("every graph has all peers and links", &|start| time(start.one_mesh));
    line("the last frame but keepalives, before 30 s without any", &|start| time(start.quiet));
    line(
        "the most control on one direction of a link in one second, of what it carries",
        &|start| share(start.peak_share),
    );
    line("the same, later than 30 s after the start", &|start| share(start.late_share));
    line("the most control that a node sent in one second", &|start| {
        bytes(start.peak_node_bytes as f64)
    });
    line("control that a node sent", &|start| bytes(start.control_bytes));
    line("handshakes that a node sent", &|start| bytes(start.handshake_bytes));
    line("links made", &|start| number(start.links_made as f64));
    line("links that stand", &|start| number(start.links_standing as f64));
    line("dials", &|start| number(start.dials as f64));
    line("memory of a node at rest", &|start| bytes(start.memory));
    line("memory of a node in the fullest second", &|start| bytes(start.memory_peak));
    page.push('\n');
}

fn others(page: &mut String, figures: &Figures) {
    page.push_str(
        "## Beside others\n\n\
         Control traffic in a grid, in bytes a second and node, as published (meshnet-lab; the \
         projects' own pages). Those count whole packets of networks that tell everybody of \
         everything now and then; a mesh that is idle has nothing to tell here.\n\n\
         | who | nodes | B/s a node |\n|---|---:|---:|\n",
    );
    for (who, nodes, control) in OTHERS {
        let _ = writeln!(page, "| {who} | {nodes} | {control} |");
    }
    for row in figures.lan.iter().filter(|row| row.shape == Shape::Grid) {
        if [49, 100, 256].contains(&row.nodes) {
            let _ = writeln!(
                page,
                "| Hedgerow, idle; under churn | {} | {:.0}; {} |",
                row.nodes,
                row.idle_per_node(),
                number(row.churn_per_node())
            );
        }
    }
    page.push_str(
        "\nConvergence of 50 nodes, published: Yggdrasil 8 s, batman-adv 10 s, babel and OLSR 20 s.",
    );
    if let Some(row) = grid(figures, 49) {
        let _ = write!(page, " Hedgerow, 49 nodes in a grid: {}", time(row.cold));
        let _ = write!(page, ", over links like Bluetooth LE's {}.", time(figures.radio.cold));
    }
    if let Some(memory) = grid(figures, 100).and_then(|row| row.bytes_per_peer) {
        let _ = write!(
            page,
            "\nA map of 100 nodes takes Meshtastic 17 KB; a node here has {} for 100 peers, with \
             signed adverts, routes, links and buffers.",
            bytes(memory * 100.0)
        );
    }
    page.push_str("\n\n");
}

fn grid(figures: &Figures, nodes: usize) -> Option<&Row> {
    figures.lan.iter().find(|row| row.shape == Shape::Grid && row.nodes == nodes)
}

fn took(page: &mut String, figures: &Figures) {
    page.push_str(
        "\n## What measuring takes\n\n\
         The processor's time for each world: what every node does with every advert, so that twice \
         the nodes take four times as long.\n\n| nodes | line | grid | random |\n|---:|---:|---:|---:|\n",
    );
    for nodes in &figures.options.sizes {
        let rows = figures.lan.iter().filter(|row| row.nodes == *nodes);
        let times: Vec<String> = rows.map(|row| time(Some(row.took))).collect();
        let _ = writeln!(page, "| {} | {} |", number(*nodes as f64), times.join(" | "));
    }
}

/// An aim, what was measured, and whether that meets it.
type Aim = (&'static str, String, bool);

fn aims(page: &mut String, figures: &Figures) {
    page.push_str("## Aims\n\n| aim | measured | |\n|---|---|---|\n");
    for (aim, measured, is_met) in all_aims(figures) {
        let verdict = if is_met { "met" } else { "missed" };
        let _ = writeln!(page, "| {aim} | {measured} | {verdict} |");
    }
}

fn all_aims(figures: &Figures) -> Vec<Aim> {
    let mut aims = Vec::new();
    let allowance = |row: &Row| 6.0 + 0.02 * row.nodes as f64;
    let rows = figures.lan.iter().chain([&figures.radio]);
    let worst = rows.max_by(|a, b| {
        let part = |row: &Row| row.idle_per_direction() / allowance(row);
        part(a).total_cmp(&part(b))
    });
    if let Some(row) = worst {
        aims.push((
            "idle: at most 6 B/s for each direction of a link and 0.02 B/s for each node",
            format!(
                "at worst {:.2} B/s ({} of {})",
                row.idle_per_direction(),
                row.shape.name(),
                row.nodes
            ),
            row.idle_per_direction() <= allowance(row),
        ));
    }
    let within = |cold: Option<Duration>, seconds| {
        (time(cold), cold.is_some_and(|cold| cold < Duration::from_secs(seconds)))
    };
    if let Some(row) = grid(figures, 49) {
        let (measured, is_met) = within(row.cold, 2);
        aims.push(("a grid of 49 from cold in under 2 s", measured, is_met));
    }
    let (measured, is_met) = within(figures.radio.cold, 10);
    aims.push(("a grid over links like Bluetooth LE's in under 10 s", measured, is_met));
    aims.extend(repair_aims(figures));
    let thousand = figures.lan.iter().filter(|row| row.nodes == 1_000);
    for row in thousand {
        let measured = row.rejoin.map(|rejoin| rejoin.beside() as f64);
        aims.push((
            "rejoin after 10 s at 1,000 nodes: at most 2 kB and the changed adverts",
            format!("{}: {}", row.shape.name(), measured.map_or("-".into(), bytes)),
            measured.is_some_and(|bytes| bytes <= 2_000.0),
        ));
    }
    let restart = &figures.restart;
    let [before, after] = [&restart.first, &restart.again].map(|start| start.memory);
    aims.push((
        "radios that all restart at once become one mesh and come to rest; memory flat",
        format!(
            "{} nodes: {}, at rest after {}; {} and {} a node",
            restart.nodes,
            time(restart.again.one_mesh),
            time(restart.again.quiet),
            bytes(before),
            bytes(after)
        ),
        restart.again.quiet.is_some() && after < before * 1.1,
    ));
    aims
}

fn repair_aims(figures: &Figures) -> Vec<Aim> {
    let mut aims = Vec::new();
    let rows: Vec<&Row> = figures.lan.iter().chain([&figures.radio]).collect();
    let repaired = rows.iter().filter(|row| row.repair_with.pairs > 0);
    if let Some(longest) = repaired.map(|row| row.repair_with.longest).max() {
        aims.push((
            "a dead link repaired within 50 ms where there is a loop-free alternate",
            if longest.is_zero() { "at once".to_owned() } else { time(Some(longest)) },
            longest <= Duration::from_millis(50),
        ));
    }
    // The part of twice the propagation to the farthest source that repair took.
    let part = |row: &Row| {
        let hop = if std::ptr::eq(row, &raw const figures.radio) { 40.0 } else { 0.4 };
        let propagation_ms = f64::from(row.repair_without.farthest.max(1)) * hop;
        row.repair_without.longest.as_secs_f64() * 1_000.0 / (2.0 * propagation_ms)
    };
    let without = rows.iter().filter(|row| row.repair_without.pairs > 0);
    if let Some(row) = without.max_by(|a, b| part(a).total_cmp(&part(b))) {
        aims.push((
            "else within twice the propagation time to the farthest affected source",
            format!(
                "at worst {} over {} hops ({} of {})",
                time(Some(row.repair_without.longest)),
                row.repair_without.farthest,
                row.shape.name(),
                row.nodes
            ),
            part(row) <= 1.0,
        ));
    }
    aims
}

/// A whole number with commas.
fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes, as B, kB or MB.
fn bytes(value: f64) -> String {
    match value {
        ..1_000.0 => format!("{value:.0} B"),
        ..1_000_000.0 => format!("{:.1} kB", value / 1_000.0),
        _ => format!("{:.1} MB", value / 1_000_000.0),
    }
}

/// A time as microseconds, milliseconds or seconds.
fn time(time: Option<Duration>) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let seconds = time.as_secs_f64();
    match seconds {
        ..0.001 => format!("{:.0} µs", seconds * 1e6),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        let numbers = [7.4, 100.0, 1_000.0, 22_333.0, 1_234_567.0].map(number);
        assert_eq!(numbers, ["7", "100", "1,000", "22,333", "1,234,567"]);
        assert_eq!([12.0, 2_340.0, 5_600_000.0].map(bytes), ["12 B", "2.3 kB", "5.6 MB"]);
        let times = [Some(900), Some(25_400), Some(2_040_000)];
        let times = times.map(|micros| time(micros.map(Duration::from_micros)));
        assert_eq!(times, ["900 µs", "25 ms", "2.0 s"]);
        assert_eq!(time(None), "-");
    }
}
