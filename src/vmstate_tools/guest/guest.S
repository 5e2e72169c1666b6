# The built-in guest: a program that a BIOS boots from a disk, with nothing below or above it.
#
# It counts passes. In pass N it writes N into every page of a region of memory, in ascending
# order, then into a sector of every disk, then prints `tick N` on the serial port. What it is
# about to do and what it has done stands in one page of low memory, so that the memory and the
# disks of any single moment can be told from a mixture of two. docs/guest.md explains how;
# pattern.py is the judge, and its constants are these.
#
# Real mode, with segments stretched to 4 GiB ("unreal mode") where it touches the region. The
# BIOS does the disk work, so IDE, AHCI and virtio-blk are all the same here.
#
# Assembled by scripts/build-guest; GNU as, 80386 and up.

        .intel_syntax noprefix
        .code16
        .arch   i686
        .text

# ---------------------------------------------------------------- memory map (physical addresses)
        .set    PROGRAM, 0x7c00         # where a BIOS puts the boot sector
        .set    STATE, 0x9000           # one page: see below
        .set    SECTOR_BUFFER, 0xa000   # 512 bytes that go to the disks
        .set    STACK_TOP, 0xc000
        .set    REGION, 0x200000        # the memory that is dirtied
        .set    BIOS_KIB, 1024          # left alone at the end of memory
# Nothing is written to pages that hold code: TCG would take its slow path for self-modification.

# ------------------------------------------------------------------------------ the state page
        .set    state_magic, STATE + 0x00       # 8 bytes; written last, when all else is valid
        .set    counter, STATE + 0x08           # u64: the pass that was begun last
        .set    completed, STATE + 0x10         # u64: the pass whose pages were all written last
        .set    position, STATE + 0x18          # u32: pages written in pass `counter`
        .set    page_count, STATE + 0x1c        # u32: pages in the region
        .set    region_start, STATE + 0x20      # u32: REGION
        .set    disk_count, STATE + 0x24        # u32
        .set    disks, STATE + 0x40             # one record of 32 bytes per disk:
        .set    DISK_WRITING, 0                 #   u64: the counter about to be written
        .set    DISK_WRITTEN, 8                 #   u64: the counter that the disk holds
        .set    DISK_STATUS, 16                 #   u32: 0, or 0x100 + the BIOS's error: given up
        .set    DISK_RECORD_BYTES, 32
# From here on for this program alone.
        .set    countdown, STATE + 0x800        # u32: pages left until the next wait
        .set    gdt_pointer, STATE + 0x810      # 6 bytes
        .set    text_end, STATE + 0x840         # `tick N` is built downwards from here

# ------------------------------------------------------------------------- the pages and sectors
        .set    PAGE_BYTES, 4096
        .set    LINES, 8                # lines in a page, one at the start of each 512 bytes
        .set    LINE_BYTES, 64          # counter (u64), page number (u32), 13 words of filler
        .set    LINE_STRIDE, 512
        .set    FILLER_WORDS, 13
        .set    FILLER_STEP, 0x9e3779b9
        .set    COUNTER_FACTOR, 0x85ebca6b
        .set    PAGE_FACTOR, 0xc2b2ae35

        .set    MAX_DISKS, 4
        .set    COUNTER_SECTOR, 128     # byte 65536 of the disk: a qcow2 cluster of its own
        .set    sector_magic, SECTOR_BUFFER + 0
        .set    sector_counter, SECTOR_BUFFER + 8
        .set    sector_drive, SECTOR_BUFFER + 16

        .set    COM1, 0x3f8
        .set    TICK_TEXT_BYTES, 5
        .set    FLAG_WRITE_DISKS, 1

# ------------------------------------------------------------------------------ the boot sector
start:
        jmp     begin

        .org    0x08                    # the parameter block, filled in by image.py
parameter_magic:
        .ascii  "VMSGUEST"
memory_mib:
        .long   16
pages_per_tick:
        .long   0
flags:
        .long   FLAG_WRITE_DISKS
        # Not a parameter: while EIP is in this range, EDI is where the next store goes.
        .word   fill_start, fill_end

begin:
        ljmp    0:1f
1:      xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, STACK_TOP
        cld
        sti
        mov     si, offset load_packet
        mov     ah, 0x42                # DL is still the drive that we were booted from
        int     0x13
        jnc     set_up
dead:
        cli
        hlt
        jmp     dead

set_up:
        in      al, 0x92                # A20 on
        or      al, 2
        and     al, 0xfe
        out     0x92, al

        mov     dx, COM1 + 1            # no interrupts, 115200 8N1
        mov     al, 0
        out     dx, al
        mov     dx, COM1 + 3
        mov     al, 0x80
        out     dx, al
        mov     dx, COM1
        mov     ax, 1
        out     dx, ax
        mov     dx, COM1 + 3
        mov     al, 3
        out     dx, al

        mov     di, STATE
        mov     cx, (SECTOR_BUFFER + 512 - STATE) / 2
        xor     ax, ax
        rep stosw
        mov     word ptr [gdt_pointer], offset GDT_END - gdt - 1
        mov     word ptr [gdt_pointer + 2], offset gdt
        mov     dword ptr [region_start], REGION
        mov     eax, [pages_per_tick]
        mov     [countdown], eax
        call    size_region
        call    greet_disks
        mov     si, offset ready_magic
        mov     di, offset state_magic
        movsd
        movsd
        jmp     pass

# How many pages there are: what was asked for, or less if the machine has less (its memory above
# 1 MiB in one piece, as int 15h, AX=E801 tells it: KiB below 16 MiB, units of 64 KiB above). The
# last MiB stays as it is: the BIOS has left there what it needed to start, so it is not zero.
size_region:
        mov     ax, 0xe801
        xor     cx, cx
        xor     dx, dx
        int     0x15
        movzx   eax, cx
        movzx   edx, dx
        shl     edx, 6
        add     eax, edx                # KiB from 1 MiB on
        sub     eax, 1024 + BIOS_KIB    # KiB from REGION on
        ja      1f
        xor     eax, eax
1:      shr     eax, 2
        mov     edx, [memory_mib]
        shl     edx, 8
        cmp     eax, edx
        jb      2f
        mov     eax, edx
2:      mov     [page_count], eax
        ret

# Finds the disks, and what an earlier boot has left on them.
greet_disks:
        test    byte ptr [flags], FLAG_WRITE_DISKS
        jz      3f
        movzx   cx, byte ptr [0x475]    # BIOS data area: number of hard disks
        cmp     cx, MAX_DISKS
        jbe     1f
        mov     cx, MAX_DISKS
1:      mov     [disk_count], cx
        jcxz    3f
        mov     si, offset disks
        mov     dl, 0x80
2:      mov     ah, 0x42
        call    transfer
        jc      4f
        mov     eax, [sector_magic]
        cmp     eax, [disk_magic]
        jne     4f
        mov     eax, [sector_counter]
        mov     [si + DISK_WRITING], eax
        mov     [si + DISK_WRITTEN], eax
        mov     eax, [sector_counter + 4]
        mov     [si + DISK_WRITING + 4], eax
        mov     [si + DISK_WRITTEN + 4], eax
4:      add     si, DISK_RECORD_BYTES
        inc     dl
        loop    2b
3:      mov     di, SECTOR_BUFFER       # from now on this is what is written
        mov     cx, 256
        xor     ax, ax
        rep stosw
        mov     si, offset disk_magic
        mov     di, offset sector_magic
        movsd
        movsd
        ret

# Reads or writes (AH is 42 or 43) the counter sector of drive DL. A failure sets carry and is
# noted in the record at SI: 0x100 plus what the BIOS says, so that it is never 0.
transfer:
        push    cx
        push    dx
        push    si
        mov     si, offset counter_packet
        mov     al, 0
        int     0x13
        pop     si
        pop     dx
        pop     cx
        jnc     1f
        mov     al, ah
        mov     ah, 1
        mov     [si + DISK_STATUS], ax
        stc
1:      ret

# Stretches ES to 4 GiB. Interrupts must be off: whoever serves one may bring 64 KiB back, as
# every call of the BIOS does.
enter_unreal:
        lgdt    [gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        mov     dx, 8
        mov     es, dx
        and     al, 0xfe
        mov     cr0, eax
        xor     dx, dx
        mov     es, dx
        ret

        .balign 8
gdt:    .quad   0
        .quad   0x008f92000000ffff      # data, base 0, limit 4 GiB
GDT_END:
load_packet:
        .byte   16, 0
        .word   PROGRAM_SECTORS - 1, PROGRAM + 512, 0
        .quad   1
counter_packet:
        .byte   16, 0
        .word   1, SECTOR_BUFFER, 0
        .quad   COUNTER_SECTOR
disk_magic:
        .ascii  "VMSGDISK"
ready_magic:
        .ascii  "VMSGSTAT"
tick_text:
        .ascii  "tick "                 # TICK_TEXT_BYTES
line_end:
        .ascii  "\r\n"

        .org    510
        .word   0xaa55

# ---------------------------------------------------------- the second sector: one pass after another

# At every instruction `counter`, `completed` and `position` say what the region holds. If counter
# equals completed, all pages hold it; otherwise counter is completed + 1 and so many pages as
# position says hold it, the others hold completed.
pass:
        mov     dword ptr [position], 0
        add     dword ptr [counter], 1
        adc     dword ptr [counter + 4], 0
        cli
        call    enter_unreal
        mov     esi, [counter]
        mov     ebp, [counter + 4]
        mov     edi, REGION
        xor     ebx, ebx                # page number

next_page:
        cmp     ebx, [page_count]
        jae     pages_done
        cmp     dword ptr [pages_per_tick], 0
        je      1f
        sub     dword ptr [countdown], 1
        jnc     1f
        call    wait_for_timer
1:      imul    eax, esi, COUNTER_FACTOR
        imul    edx, ebx, PAGE_FACTOR
        add     eax, edx
        mov     cx, LINES
fill_start:
        mov     edx, eax
        mov     eax, esi
        stosd   es:[edi]
        mov     eax, ebp
        stosd   es:[edi]
        mov     eax, ebx
        stosd   es:[edi]
        mov     eax, edx
        .rept   FILLER_WORDS
        stosd   es:[edi]
        add     eax, FILLER_STEP
        .endr
        add     edi, LINE_STRIDE - LINE_BYTES
        dec     cx
        jnz     fill_start
        inc     ebx
fill_end:
        mov     [position], ebx
        jmp     next_page

pages_done:
        mov     [completed], esi
        mov     [completed + 4], ebp
        sti
        call    write_disks
        call    put_tick
        jmp     pass

# Sleeps until the BIOS timer (18.2 Hz) has ticked.
wait_for_timer:
        mov     eax, [pages_per_tick]
        dec     eax
        mov     [countdown], eax
        mov     eax, [0x46c]            # BIOS data area: timer ticks since midnight
1:      sti
        hlt
        cli
        cmp     eax, [0x46c]
        je      1b
        jmp     enter_unreal

# Writes the counter to every disk in turn, saying so before and after.
write_disks:
        mov     eax, [counter]
        mov     [sector_counter], eax
        mov     eax, [counter + 4]
        mov     [sector_counter + 4], eax
        mov     si, offset disks
        mov     dl, 0x80
        mov     cx, [disk_count]
        jcxz    3f
1:      cmp     dword ptr [si + DISK_STATUS], 0
        jne     2f
        mov     [sector_drive], dl
        mov     eax, [counter]
        mov     [si + DISK_WRITING], eax
        mov     eax, [counter + 4]
        mov     [si + DISK_WRITING + 4], eax
        mov     ah, 0x43
        call    transfer
        jc      2f
        mov     eax, [counter]
        mov     [si + DISK_WRITTEN], eax
        mov     eax, [counter + 4]
        mov     [si + DISK_WRITTEN + 4], eax
2:      add     si, DISK_RECORD_BYTES
        inc     dl
        loop    1b
3:      ret

# Sends AL to the serial port; gives up if there is none (reads as ff) or nobody takes the byte.
put_byte:
        push    cx
        mov     ah, al
        mov     dx, COM1 + 5
        xor     cx, cx
1:      in      al, dx
        cmp     al, 0xff
        je      3f
        test    al, 0x20
        jnz     2f
        loop    1b
        jmp     3f
2:      mov     dx, COM1
        mov     al, ah
        out     dx, al
3:      pop     cx
        ret

# Prints `tick N`.
put_tick:
        mov     eax, [counter]
        mov     ebx, [counter + 4]
        mov     ecx, 10
        mov     di, offset text_end
1:      xchg    eax, ebx                # EBX:EAX divided by ten, high half first
        xor     edx, edx
        div     ecx
        xchg    eax, ebx
        div     ecx
        add     dl, '0'
        dec     di
        mov     [di], dl
        mov     edx, eax
        or      edx, ebx
        jnz     1b
        mov     si, offset tick_text
        mov     cx, TICK_TEXT_BYTES
        call    put_bytes
        mov     si, di
        mov     cx, offset text_end
        sub     cx, di
        call    put_bytes
        mov     si, offset line_end
        mov     cx, 2

# Sends CX bytes from SI on.
put_bytes:
        lodsb
        call    put_byte
        loop    put_bytes
        ret

        .balign 512, 0
        .set    PROGRAM_SECTORS, (. - start) / 512
