\ For examples/interpreter.c.
: fib dup 2 < if exit then dup 1 - fib swap 2 - fib + ;
probe answer int, int
: show dup fib over over answer . drop ;
begin 3 show 5 show 7 show 500 ms again
