//! Tile instructions on processors that do not have them, for tests: the system turns an unknown instruction into a signal, whose handler carries it out in
//! plain Rust. So the very instructions of `native` are tested everywhere, operands and addresses included.

use super::emulated::add_products;
use super::{PANEL_LINES, TILE_ROWS};
use crate::parts::Line;
use std::cell::UnsafeCell;
use std::sync::Once;

const TILE_COLUMNS: usize = 16;

type Tile = [Line; TILE_ROWS];

struct State {
    configured: bool,
    tiles: [Tile; 8],
}

thread_local! {
    static STATE: UnsafeCell<State> =
        const { UnsafeCell::new(State { configured: false, tiles: [[Line::ZERO; TILE_ROWS]; 8] }) };
}

/// Carries tile instructions out from now on, if the processor does not.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if super::native::granted() {
            return;
        }
        // SAFETY: the handler keeps to its own thread's memory and to what the instruction names.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()), 0);
        }
    });
}

extern "C" fn handle(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system hands over the context of the interrupted thread, which stands before an instruction.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let code = registers[libc::REG_RIP as usize] as *const u8;
        match Instruction::read(code, registers) {
            Some(instruction) if STATE.with(|state| instruction.carry_out(&mut *state.get())) => {
                registers[libc::REG_RIP as usize] += instruction.length as i64;
            }
            _ => {
                libc::signal(libc::SIGILL, libc::SIG_DFL);
            }
        }
    }
}

/// An instruction with the prefix of three bytes that those of tiles have.
struct Instruction {
    length: usize,
    opcode: u8,
    prefix: u8,
    /// Of the three operands in registers.
    destination: usize,
    first: usize,
    second: usize,
    /// Address and distance between rows, if there is one.
    memory: Option<(*mut u8, isize)>,
}

impl Instruction {
    /// # Safety
    /// `code` is where an instruction begins.
    unsafe fn read(code: *const u8, registers: &[i64; 23]) -> Option<Self> {
        // SAFETY: by the caller's promise; no byte behind the instruction is read.
        let byte = |at: usize| unsafe { *code.add(at) };
        if byte(0) != 0xc4 || byte(1) & 0x1f != 2 || byte(1) & 0x80 == 0 {
            return None;
        }
        let (vvvv, prefix) = (!byte(2) >> 3 & 15, byte(2) & 3);
        let modes = byte(4);
        let mut instruction = Self {
            length: 5,
            opcode: byte(3),
            prefix,
            destination: usize::from(modes >> 3 & 7),
            first: usize::from(modes & 7),
            second: usize::from(vvvv),
            memory: None,
        };
        let mode = modes >> 6;
        if mode == 3 {
            return Some(instruction);
        }
        let extended = |bits: u8, mask: u8| bits & 7 | if byte(1) & mask == 0 { 8 } else { 0 };
        let (mut base, mut stride) = (extended(modes, 0x20), 0);
        if modes & 7 == 4 {
            let sib = byte(5);
            instruction.length += 1;
            base = extended(sib, 0x20);
            let index = extended(sib >> 3, 0x40);
            if index != 4 {
                stride = (value(registers, index) as isize) << (sib >> 6);
            }
        }
        if mode == 0 && base & 7 == 5 {
            return None;
        }
        let displacement = match mode {
            0 => 0,
            1 => isize::from(byte(instruction.length) as i8),
            _ => i32::from_le_bytes(std::array::from_fn(|i| byte(instruction.length + i))) as isize,
        };
        instruction.length += [0, 1, 4][usize::from(mode)];
        let address = (value(registers, base) as *mut u8).wrapping_offset(displacement);
        instruction.memory = Some((address, stride));
        Some(instruction)
    }

    /// Whether it is one of those that are known.
    ///
    /// # Safety
    /// The addresses are those of memory that the instruction may use.
    unsafe fn carry_out(&self, state: &mut State) -> bool {
        const NONE: u8 = 0;
        const F3: u8 = 2;
        const F2: u8 = 3;
        // SAFETY: by the caller's promise.
        unsafe {
            match (self.opcode, self.prefix, self.memory) {
                (0x49, NONE, Some((address, _))) => state.configured = all_tiles_are_whole(address),
                (0x49, NONE, None) => state.configured = false,
                _ if !state.configured => return false,
                (0x49, F2, None) => state.tiles[self.destination] = [Line::ZERO; TILE_ROWS],
                (0x4b, F2, Some((address, stride))) => {
                    for (row, line) in state.tiles[self.destination].iter_mut().enumerate() {
                        *line = row_at(address, stride, row).read_unaligned();
                    }
                }
                (0x4b, F3, Some((address, stride))) => {
                    for (row, line) in state.tiles[self.destination].iter().enumerate() {
                        row_at(address, stride, row).write_unaligned(*line);
                    }
                }
                (0x5c, F3, None) => {
                    let (a, b) = (state.tiles[self.first], state.tiles[self.second]);
                    for (row, sums) in a.iter().zip(&mut state.tiles[self.destination]) {
                        let sums = &mut *(&raw mut *sums).cast::<[f32; TILE_COLUMNS]>();
                        add_products(row, std::array::from_fn(|pair| &b[pair]), sums);
                    }
                }
                _ => return false,
            }
        }
        true
    }
}

/// Row of a tile in memory.
fn row_at(address: *mut u8, stride: isize, row: usize) -> *mut Line {
    address.wrapping_offset(stride * row as isize).cast()
}

/// Whether a configuration is that of eight tiles of 16 rows of 64 bytes.
///
/// # Safety
/// There are 64 bytes at the address.
unsafe fn all_tiles_are_whole(address: *const u8) -> bool {
    // SAFETY: by the caller's promise.
    let bytes = unsafe { *address.cast::<[u8; 64]>() };
    let widths = bytes[16..32].chunks(2).all(|width| width == [64, 0]);
    bytes[..2] == [1, 0] && widths && bytes[48..56] == [16; 8]
}

/// A register by its number in instructions.
fn value(registers: &[i64; 23], number: u8) -> i64 {
    let named = [
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RBX,
        libc::REG_RSP,
        libc::REG_RBP,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
    ];
    registers[named[usize::from(number)] as usize]
}

const _: () = assert!(PANEL_LINES == 2 * TILE_ROWS);
