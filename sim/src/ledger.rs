//! Memory, to the byte: an allocator that keeps an account for each node.
//!
//! Whatever is allocated while a node runs is its own until it is given back, whoever gives it
//! back: a header before each block says whose it is. What counts is what was asked for; the
//! headers and what the system's allocator adds do not. The crate installs it, so every program
//! of it has it.

#![allow(unsafe_code, reason = "an allocator is unsafe by its contract; this is all it does")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Accounts that may be open at once, in all worlds together. A node has one.
pub const ACCOUNTS_MAX: usize = 1 << 16;

/// The least header: keeps blocks aligned as the system's allocator aligns them.
const HEADER_BYTES: usize = 16;

/// One account's bytes, on a cache line of its own: worlds run side by side.
#[repr(align(64))]
struct Balance(AtomicI64);

static BALANCES: [Balance; ACCOUNTS_MAX] = [const { Balance(AtomicI64::new(0)) }; ACCOUNTS_MAX];
static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 1, closed: Vec::new() });

thread_local! {
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

struct Numbers {
    next: u32,
    /// Given back, with nothing left on them.
    closed: Vec<u32>,
}

/// The allocator.
struct Ledger;

#[global_allocator]
static LEDGER: Ledger = Ledger;

fn balance(account: u32) -> &'static AtomicI64 {
    // A number comes from `Account` and is below the length.
    &BALANCES[account as usize].0
}

/// Books what was allocated, or with a negative number what was given back. The world's own
/// memory, which all threads allocate, is not booked.
fn book(account: u32, bytes: i64) {
    if account != Account::WORLD.0 {
        balance(account).fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The size of a layout is below `isize::MAX`.
fn signed(bytes: usize) -> i64 {
    bytes as i64
}

/// Bytes before a block of this layout, and the layout of both together.
fn with_header(layout: Layout) -> Option<(usize, Layout)> {
    let header = layout.align().max(HEADER_BYTES);
    let size = layout.size().checked_add(header)?;
    Layout::from_size_align(size, header).ok().map(|whole| (header, whole))
}

/// Writes the account of a whole block and gives the part behind the header.
///
/// # Safety
/// `whole` is null or a block of at least `header` bytes, aligned to `header`.
unsafe fn open_block(whole: *mut u8, header: usize, size: usize) -> *mut u8 {
    if whole.is_null() {
        return whole;
    }
    let account = CURRENT.try_with(Cell::get).unwrap_or(0);
    book(account, signed(size));
    // SAFETY: the last four bytes of the header are inside the block, and `header` is a multiple
    // of 16, so they are aligned.
    unsafe {
        let block = whole.add(header);
        block.cast::<u32>().sub(1).write(account);
        block
    }
}

// SAFETY: every block is one of `System` with a header of at least 16 bytes ahead, whose size
// follows from the layout's alignment alone, so the same layout leads back to it.
unsafe impl GlobalAlloc for Ledger {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((header, whole)) = with_header(layout) else { return std::ptr::null_mut() };
        // SAFETY: the size is not zero, the header is part of it.
        unsafe { open_block(System.alloc(whole), header, layout.size()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((header, whole)) = with_header(layout) else { return std::ptr::null_mut() };
        // SAFETY: as above.
        unsafe { open_block(System.alloc_zeroed(whole), header, layout.size()) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((header, whole)) = with_header(layout) else { return };
        // SAFETY: the caller gives a block of this allocator and its layout: the header is there.
        unsafe {
            let account = block.cast::<u32>().sub(1).read();
            book(account, -signed(layout.size()));
            System.dealloc(block.sub(header), whole);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some((header, whole)) = with_header(layout) else { return std::ptr::null_mut() };
        let Some(larger) = size.checked_add(header) else { return std::ptr::null_mut() };
        // SAFETY: as in `dealloc`; the header moves with the block, so its owner stays.
        unsafe {
            let account = block.cast::<u32>().sub(1).read();
            let moved = System.realloc(block.sub(header), whole, larger);
            if moved.is_null() {
                return moved;
            }
            book(account, signed(size) - signed(layout.size()));
            moved.add(header)
        }
    }
}

/// Whose memory it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Account(u32);

impl Account {
    /// Nobody's: what the world itself allocates, which is not counted.
    pub const WORLD: Self = Self(0);

    /// A new account with nothing on it.
    ///
    /// # Panics
    /// When [`ACCOUNTS_MAX`] are open.
    #[must_use]
    pub fn open() -> Self {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.closed.pop() {
            return Self(number);
        }
        let number = numbers.next;
        assert!((number as usize) < ACCOUNTS_MAX, "{ACCOUNTS_MAX} accounts of memory are open");
        numbers.next += 1;
        Self(number)
    }

    /// What this thread allocates is this account's until the guard is dropped.
    pub fn enter(&self) -> Entered {
        Entered { before: CURRENT.replace(self.0), _on_this_thread: PhantomData }
    }

    /// Bytes allocated under this account and not given back.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        balance(self.0).load(Ordering::Relaxed)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // One that something is left on is never used again.
        if self.0 != 0 && self.bytes() == 0 {
            NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).closed.push(self.0);
        }
    }
}

/// An account that is being written to; dropping it goes back to the one before.
#[derive(Debug)]
#[must_use = "dropping it leaves the account"]
pub struct Entered {
    before: u32,
    _on_this_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn an_account_has_what_was_allocated_in_it_wherever_it_is_freed() {
        let account = Account::open();
        let entered = account.enter();
        let mut bytes: Vec<u8> = black_box(Vec::with_capacity(1_000));
        // Without it the compiler may leave a block out that nobody looks into.
        let boxed = black_box(Box::new([0_u64; 4]));
        drop(entered);
        let other: Vec<u8> = black_box(Vec::with_capacity(5_000));
        assert_eq!(account.bytes(), 1_000 + 32);
        // What grows stays with its owner.
        bytes.reserve_exact(3_000);
        assert_eq!(account.bytes(), 3_000 + 32);
        bytes.shrink_to(100);
        assert_eq!(account.bytes(), 100 + 32);
        std::thread::spawn(move || drop(boxed)).join().unwrap();
        assert_eq!(account.bytes(), 100);
        drop((bytes, other));
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn accounts_nest_and_zeroed_and_wide_blocks_count() {
        #[repr(align(64))]
        struct Wide([u8; 64]);
        let (outer, inner) = (Account::open(), Account::open());
        let _outer = outer.enter();
        let nested = inner.enter();
        let (zeroed, wide) = black_box((vec![0_u8; 777], Box::new(Wide([3; 64]))));
        drop(nested);
        let back = black_box(Box::new(7_u128));
        assert_eq!((outer.bytes(), inner.bytes()), (16, 777 + 64));
        assert_eq!(std::ptr::from_ref(&*wide) as usize % 64, 0);
        assert!(zeroed.iter().all(|byte| *byte == 0) && wide.0[63] == 3);
        drop((zeroed, wide, back));
        assert_eq!((outer.bytes(), inner.bytes()), (0, 0));
    }
}
