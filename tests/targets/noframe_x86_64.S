/* Assembly without call-frame information.
 *   asm_framed(callback, arg): keeps a frame pointer, calls back: walks on by the frame pointer.
 *   asm_leaf(n): no frame at all, loops: nothing but its neighbour's rules could cross it. */
        .text
        .globl  asm_framed
        .type   asm_framed, @function
asm_framed:
        pushq   %rbp
        movq    %rsp, %rbp
        subq    $48, %rsp
        movq    %rdi, %rax
        movq    %rsi, %rdi
        call    *%rax
        leave
        ret
        .size   asm_framed, .-asm_framed

        .globl  asm_leaf
        .type   asm_leaf, @function
asm_leaf:
        movq    %rdi, %rax
1:      imulq   $3, %rax, %rax
        subq    $1, %rdi
        jnz     1b
        ret
        .size   asm_leaf, .-asm_leaf

        .section .note.GNU-stack, "", @progbits
