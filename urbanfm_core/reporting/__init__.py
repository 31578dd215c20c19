"""What every report says of its run, whatever the stage: what went in, how the model came to be, how to repeat it."""
