mod clocks;
mod damage;
mod rig;
mod sound;
