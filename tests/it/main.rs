//! Tests over the whole house, one module a subject.
//!
//! A room's own tests live in its crate; here is what needs two rooms, the built binary or the
//! repository itself. The tests of the binary take it from `INFILL_BIN`, else build it.

// A language client of a hundred lines: starts `infill lsp`, talks to it, and fails on messages
// that no test has read.
mod harness;
mod hub;

// `infill bench`: replays against our server and another one, budgets, and the engine alone.
mod benches;

// The examples of CI jobs in `server/ci`: their own lines translate a project, in shards, and go on where they stopped.
mod ci;

// Conversations with the server as text files: what the client says, and the shape of each answer.
mod conversations;

// Other open files and the server: excerpts in the prompt, and nothing of files that are left alone.
mod beside;

// Neovim's own inline completion against the built server: ghost text, accepting, undo, leaving.
mod editors;

// `infill doctor`: what it says of a machine, and when the server could not serve.
mod doctor;

// `infill eval`: data sets' own solutions, other problems' solutions, and answers that are right, wrong and endless.
mod eval;
mod eval_infill;
mod eval_served;

// `infill eval lines`: blanks in a folder's own files, every figure, and baselines that know what repeats.
mod eval_lines;

// `infill translate --endpoint`: a server that answers well, badly, slowly, or not at all.
mod endpoint;
mod scripted;

// Bad answers of models and what becomes of them, and what must hold for any answer.
mod finishing;

// Damaged and hostile model folders: a clear error, at once, for little memory.
mod hostile;

// `infill translate` with random weights in the true architecture of every family that translates.
mod members;

// Helix and Emacs against the built server: a suggestion in their menu, taken and saved.
mod menus;

// Translations that a small model knows by heart: each is right, and the model writes it to the letter.
mod pairs;

// Plugins for llama.cpp's server against ours: the requests of llama.vim and llama.vscode, and what they read.
mod llama_vim;

// The model against numbers that a PyTorch implementation made, on random weights.
mod parity;

// Every member of the family against numbers of the makers' own code, from the makers' own files.
mod family;

// Excerpts of other files as text: which are chosen for a cursor, and where a prompt shows them.
mod neighbours;

// Prompts as text, for cursors in several languages: what the model is given to read.
mod prompts;

// Pulling models: from a hub on this machine that cuts, lies and refuses.
mod pull;

// The grammars' queries: each compiles, and captures what the carets under real code point at.
mod queries;

// Kernels for GPUs: compilers take them, and the committed PTX is theirs.
mod kernels;

// Translations on two Ray nodes, one of which dies: each unit is done once.
mod ray;

// The README tells the truth: its ghost text is what the binary says, its Lua is what is tested.
mod readme;

// Commands in the sandbox: what they cannot do and cannot take, and that nothing of them is left.
mod sandbox;

// `infill serve`: what clients of OpenAI's and llama.cpp's servers ask, who may ask, and leaving early.
mod serving;

// OpenAI's own client against `infill serve`: everything that it asks, and what it makes of refusals.
mod openai;
// Clients of `infill serve` that mean ill or know no better, and its end in mid-answer.
mod serving_badly;

// What every file keeps to: its opening line, its size, its place, and no addresses in scripts.
mod tidy;

// What the server says beyond the protocol: its status, why something is shown, commands, menus.
mod telling;

// `infill translate`: killed and started again, shared between processes, stopped by budgets, told of in reports.
mod translation;

// What a keystroke costs: tokens read and written while text is typed, taken back and accepted.
mod typing;

// Which room may see which, and which outside crate belongs to whom.
mod walls;
