"""The General MIDI programmes of the stems that are not drums; 0 is the acoustic grand piano."""

PROGRAMMES = {"bass": range(32, 40), "guitar": range(24, 32), "piano": range(8)}
