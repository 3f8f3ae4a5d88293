//! One row for each capsule: how many of its rows have a value in the column `power`, and their mean.
//!
//! Output:       table:integer n:integer mean:number
//! Group column: n
//!
//! Build:        rustc --target wasm32-wasip1 -C opt-level=2 -C strip=symbols mean.rs
//!               (wasm32-wasi before Rust 1.78, as in Debian 12)
//!
//! The form of input and output is docs/formats.md, "A module's input and output". What can't be read ends the module
//! with status 1. No HashMap: it draws randomness, which a module can't have.

use std::io::{self, Read, StdinLock, Write};

const MAGIC: &[u8; 8] = b"dswasm1\n";
const INTEGER: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 3;
const BOOLEAN: u8 = 4;

struct Input<'a>(StdinLock<'a>);

impl Input<'_> {
    fn bytes(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        self.0.read_exact(&mut array)?;
        Ok(array)
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Name and type code of a parameter or column.
    fn heading(&mut self) -> io::Result<(Vec<u8>, u8)> {
        let size = self.u32()?;
        let name = self.bytes(size as usize)?;
        let [kind] = self.array()?;
        Ok((name, kind))
    }

    /// The values of one column of a block, as numbers; texts and truth values are read and dropped.
    fn values(&mut self, kind: u8, rows: usize) -> io::Result<Vec<f64>> {
        if kind == TEXT {
            let mut total = 0;
            for _ in 0..rows {
                total += self.u32()? as usize;
            }
            self.bytes(total)?;
            return Ok(Vec::new());
        }
        if kind == BOOLEAN {
            self.bytes(rows)?;
            return Ok(Vec::new());
        }
        let mut values = Vec::with_capacity(rows);
        for _ in 0..rows {
            let cell: [u8; 8] = self.array()?;
            values.push(if kind == NUMBER { f64::from_le_bytes(cell) } else { i64::from_le_bytes(cell) as f64 });
        }
        Ok(values)
    }
}

/// Rows with a value in `power`, and the sum of those values.
fn table(input: &mut Input) -> io::Result<(i64, f64)> {
    let count = input.u32()?;
    let mut columns = Vec::new();
    for _ in 0..count {
        columns.push(input.heading()?);
    }
    let (mut n, mut sum) = (0, 0.0);
    loop {
        let rows = input.u32()? as usize;
        if rows == 0 {
            return Ok((n, sum));
        }
        for (name, kind) in &columns {
            let present = input.bytes(rows)?;
            let values = input.values(*kind, rows)?;
            if name == b"power" && (*kind == NUMBER || *kind == INTEGER) {
                for (value, there) in values.iter().zip(&present) {
                    if *there == 1 {
                        n += 1;
                        sum += value;
                    }
                }
            }
        }
    }
}

fn run() -> io::Result<()> {
    let stdin = io::stdin();
    let mut input = Input(stdin.lock());
    if &input.array::<8>()? != MAGIC || input.u32()? != 0 {
        return Err(io::ErrorKind::InvalidData.into()); // another form, or parameters that this takes none of
    }
    let mut output = MAGIC.to_vec();
    for number in 1..=i64::from(input.u32()?) {
        let (n, sum) = table(&mut input)?;
        for whole in [number, n] {
            output.push(1);
            output.extend(whole.to_le_bytes());
        }
        output.push(u8::from(n > 0)); // no value where there is nothing to take the mean of
        if n > 0 {
            output.extend((sum / n as f64).to_le_bytes());
        }
    }
    io::stdout().write_all(&output)
}

fn main() {
    if run().is_err() {
        std::process::exit(1);
    }
}
