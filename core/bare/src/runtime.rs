//! Everything a program without std and libc must bring, for Linux on `x86_64` and aarch64.
//!
//! The memory functions go byte by byte through volatile accesses: slow, but the compiler cannot
//! turn such a loop back into a call of the very function it stands in.

#![allow(unsafe_code, reason = "the one file that stands where an operating system's libc would")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("the bare program knows the system calls of Linux on x86_64 and aarch64 only");

/// Bytes that the program may allocate. Untouched pages of it cost nothing.
const HEAP_BYTES: usize = 64 << 20;

/// The exit code of a panic, as in a program with std.
const EXIT_PANIC: i32 = 101;

// The kernel enters with the stack pointer aligned to 16 and no return address: clear the frame
// pointer so that backtraces end here, and call.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {enter}",
    "ud2",
    enter = sym enter,
);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "bl {enter}",
    "brk #1",
    enter = sym enter,
);

extern "C" fn enter() -> ! {
    exit(crate::main())
}

fn exit(code: i32) -> ! {
    #[cfg(target_arch = "x86_64")]
    const EXIT_GROUP: usize = 231;
    #[cfg(target_arch = "aarch64")]
    const EXIT_GROUP: usize = 94;
    let code = usize::try_from(code).unwrap_or(1);
    loop {
        // SAFETY: exit_group takes a number, touches no memory of ours and does not return.
        unsafe { system_call(EXIT_GROUP, [code, 0, 0]) };
    }
}

/// Writes `message` to standard output.
pub(crate) fn print(message: fmt::Arguments<'_>) {
    let _ = fmt::write(&mut Output { file: 1 }, message);
}

/// Bytes of the heap that were in use at the most.
pub(crate) fn heap_bytes_used() -> usize {
    HEAP.peak.load(Ordering::Relaxed)
}

struct Output {
    file: usize,
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        #[cfg(target_arch = "x86_64")]
        const WRITE: usize = 1;
        #[cfg(target_arch = "aarch64")]
        const WRITE: usize = 64;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            // SAFETY: write reads `rest.len()` bytes from `rest`, which is borrowed meanwhile.
            let written = unsafe {
                system_call(WRITE, [self.file, rest.as_ptr().expose_provenance(), rest.len()])
            };
            let written = usize::try_from(written).map_err(|_| fmt::Error)?;
            rest = rest.get(written..).ok_or(fmt::Error)?;
        }
        Ok(())
    }
}

/// # Safety
/// As the kernel's call `number` with these arguments asks.
#[cfg(target_arch = "x86_64")]
unsafe fn system_call(number: usize, [first, second, third]: [usize; 3]) -> isize {
    let result;
    // SAFETY: this is the kernel's calling convention; it clobbers rcx and r11, and the rest is
    // the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// # Safety
/// As the kernel's call `number` with these arguments asks.
#[cfg(target_arch = "aarch64")]
unsafe fn system_call(number: usize, [first, second, third]: [usize; 3]) -> isize {
    let result;
    // SAFETY: this is the kernel's calling convention, and the rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") first => result,
            in("x1") second,
            in("x2") third,
            options(nostack),
        );
    }
    result
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = fmt::write(&mut Output { file: 2 }, format_args!("{info}\n"));
    exit(EXIT_PANIC)
}

/// A bump allocator: only the newest block can be given back or grown in place.
#[repr(align(4096))]
struct Heap {
    bytes: UnsafeCell<[u8; HEAP_BYTES]>,
    used: AtomicUsize,
    peak: AtomicUsize,
}

// SAFETY: the program has one thread.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap {
    bytes: UnsafeCell::new([0; HEAP_BYTES]),
    used: AtomicUsize::new(0),
    peak: AtomicUsize::new(0),
};

impl Heap {
    fn base(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Whether the `bytes` at `block` are the last that are in use.
    fn is_newest(&self, block: *mut u8, bytes: usize) -> bool {
        block.addr() + bytes == self.base().addr() + self.used.load(Ordering::Relaxed)
    }

    fn set_used(&self, used: usize) {
        self.used.store(used, Ordering::Relaxed);
        self.peak.fetch_max(used, Ordering::Relaxed);
    }
}

// SAFETY: blocks lie inside `bytes`, aligned as asked (the array itself is aligned to a page and
// `alloc` refuses more), and do not overlap: each starts at or after the end of all before it
// that are not given back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.load(Ordering::Relaxed).next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if end <= HEAP_BYTES && layout.align() <= align_of::<Self>() => {
                self.set_used(end);
                self.base().wrapping_add(start)
            }
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_newest(block, layout.size()) {
            self.set_used(block.addr() - self.base().addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let start = block.addr() - self.base().addr();
        if self.is_newest(block, layout.size()) && bytes <= HEAP_BYTES - start {
            self.set_used(start + bytes);
            return block;
        }
        if bytes <= layout.size() {
            return block;
        }
        // SAFETY: the caller promises that `bytes` is a valid size for this alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(bytes, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks are of this allocator, do not overlap, and hold at least the
            // old size.
            unsafe { block.copy_to_nonoverlapping(moved, layout.size()) };
        }
        moved
    }
}

/// # Safety
/// As in C: `count` bytes readable at `from` and writable at `to`, which do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: `at` is below `count`, and the rest is the caller's promise.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// # Safety
/// As in C: `count` bytes readable at `from` and writable at `to`, which may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr() <= from.addr() {
        // SAFETY: going upwards, no byte is overwritten before it was read.
        return unsafe { memcpy(to, from, count) };
    }
    for at in (0..count).rev() {
        // SAFETY: `at` is below `count`, going downwards no byte is overwritten before it was
        // read, and the rest is the caller's promise.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// # Safety
/// As in C: `count` bytes writable at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    let [value, ..] = value.to_le_bytes();
    for at in 0..count {
        // SAFETY: `at` is below `count`, and the rest is the caller's promise.
        unsafe { to.add(at).write_volatile(value) };
    }
    to
}

/// # Safety
/// As in C: `count` bytes readable at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: `at` is below `count`, and the rest is the caller's promise.
        let (a, b) = unsafe { (left.add(at).read_volatile(), right.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
/// As in C: `count` bytes readable at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(left, right, count) }
}
