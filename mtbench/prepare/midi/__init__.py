"""Turn MIDI files into clips of bass, drums, guitar and piano with true beat times."""
