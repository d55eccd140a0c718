//! Notices to those who must know (RULES L10).
