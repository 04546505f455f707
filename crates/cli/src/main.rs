//! The program `entrace`.

fn main() -> std::process::ExitCode {
    entrace_cli::main()
}
