"""What happens in a cell: a target is made, unlearned, attacked, evaluated. Numbers come from here down."""
