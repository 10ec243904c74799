//! How people come in: bulk import.
