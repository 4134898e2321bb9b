//! Every seed and every input that once broke a promise, through its target; and seeds that are
//! altered a little, always in the same way.

use std::path::{Path, PathBuf};

use hedgerow_fuzz::TARGETS;
use hedgerow_fuzz::people::Seeded;

/// Altered copies of each input: the fuzzer does better; this much is for every machine.
const ALTERED: u64 = 8;

fn inputs(kind: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// A few bytes changed, put in, taken out, or moved.
fn alter(input: &[u8], random: &mut Seeded) -> Vec<u8> {
    let mut altered = input.to_vec();
    for _ in 0..=random.number() % 4 {
        let at = random.number() as usize % (altered.len() + 1);
        let (byte, what) = (random.number() as u8, random.number() % 5);
        match altered.get_mut(at) {
            Some(old) if what == 0 => *old = byte,
            Some(old) if what == 1 => *old ^= 1 << (byte % 8),
            Some(_) if what == 2 => altered.truncate(at),
            Some(_) if what == 3 => altered.rotate_left(at),
            _ => altered.insert(at, byte),
        }
    }
    altered
}

#[test]
fn seeds_and_regressions_break_no_promise() {
    for target in TARGETS {
        let seeds = inputs("seeds", target.name);
        assert!(!seeds.is_empty(), "seeds/{} has nothing", target.name);
        let mut random = Seeded(1);
        let all: Vec<_> = seeds.into_iter().chain(inputs("regressions", target.name)).collect();
        for (path, input) in &all {
            // The harness shows this of a test that fails: the input that did it is the last one.
            println!("{}", path.display());
            (target.run)(input);
        }
        for (path, input) in &all {
            for number in 0..ALTERED {
                let altered = alter(input, &mut random);
                println!("{}, altered {number}: {altered:02x?}", path.display());
                (target.run)(&altered);
            }
        }
        println!("{}: {} inputs", target.name, all.len());
    }
}

#[test]
fn seeds_are_small() {
    let kinds = ["seeds", "regressions"];
    let of = |kind| TARGETS.iter().flat_map(move |target| inputs(kind, target.name));
    let bytes: usize = kinds.into_iter().flat_map(of).map(|(_, input)| input.len()).sum();
    println!("{bytes} bytes of seeds and regressions");
    assert!(bytes < 500_000, "{bytes} bytes: keep what a minimised corpus keeps");
}

#[test]
fn every_target_has_its_program() {
    for target in TARGETS {
        let path = format!("fuzz_targets/{}.rs", target.name);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
        let program = std::fs::read_to_string(program).unwrap();
        assert!(program.contains(&format!("hedgerow_fuzz::{}::run", target.name)), "{path}");
    }
}
