//! Configurations as operators write them: the contract's own sample, the outside rig's, the files
//! in `config/`, and one of each mistake.

mod disk;
mod mistakes;
mod samples;
mod site;
mod table;
