//! Links the binary without C runtime, libc and default libraries.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in ["-nostartfiles", "-nostdlib", "-nodefaultlibs", "-static", "-no-pie"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        println!("cargo::warning=this program links only with --release (it needs fat LTO)");
    }
}
