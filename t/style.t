#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# nginx's style as far as a program can see it, and the sizes that
# keep a file readable.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use MqttTest::Source qw/ files lines text code functions /;

###############################################################################

use constant {
    COLUMNS        => 79,
    FILE_LINES     => 1000,
    FUNCTION_LINES => 150,
    MEDIAN         => 30,
    P90            => 80,
};

my @c = files(qr/\.[ch]$/);
my @module = grep { m{^ngx_mqtt_module/} } @c;
my @scripts = files(qr{^(?:t/.*\.(?:t|pm|pl)|.*\.(?:lua|awk)
                       |config(?:\.make)?|demo/[^/]*|t/tools/[^./]*|\.ci/run
                       )$}x);

check('lines', [ @c, @scripts ], \&check_lines);
check('C layout', \@c, \&check_c);
check('blocks', \@c, \&check_blocks);
check('space around functions', \@c, \&check_functions);
check('copyright', [ @c, @scripts ], \&check_copyright);
check('file length', \@module, sub {
    my ($path) = @_;

    my $n = lines($path);

    return $n > FILE_LINES ? ("$path: $n lines") : ();
});

my %seen;

check('unique file names', [ grep { /\.c$/ } @module ], sub {
    my ($path) = @_;

    my ($name) = $path =~ m{([^/]+)$};

    return $seen{$name}++ ? ("$path: another file has this name") : ();
});

my @lengths;

check('function length', [ grep { /\.c$/ } @module ], sub {
    my ($path) = @_;

    return map {
        my ($name, $line, $n) = @$_;

        push @lengths, $n;
        $n > FUNCTION_LINES ? "$path:$line: $name() has $n lines" : ();
    } functions($path);
});

@lengths = sort { $a <=> $b } @lengths;

my $median = $lengths[@lengths * 0.5] // 0;
my $p90 = $lengths[@lengths * 0.9] // 0;

cmp_ok(@lengths, '>', 0, 'functions were found');
cmp_ok($median, '<=', MEDIAN, 'median of function lengths');
cmp_ok($p90, '<=', P90, '90th percentile of function lengths');

note(scalar(@lengths), " functions, median $median, 90th percentile $p90, "
     . 'longest ' . ($lengths[-1] // 0) . ' lines; ' . @module . ' files');

done_testing();

###############################################################################

sub check {
    my ($name, $files, $checker) = @_;

    my @wrong = map { $checker->($_) } @$files;
    my $n = @wrong;

    splice @wrong, 20, $n, sprintf '... and %d more', $n - 20 if $n > 20;

    ok(!@wrong, $name) or diag(join "\n", @wrong);
}


sub check_lines {
    my ($path) = @_;

    my $text = text($path);
    my @wrong;

    push @wrong, "$path: does not end with exactly one line end"
        if $text !~ /[^\n]\n\z/;
    push @wrong, "$path: has carriage returns" if $text =~ /\r/;

    my $i = 0;
    my $blank = 0;

    for my $line (lines($path)) {
        $i++;

        my $characters = $line;
        utf8::decode($characters);

        my $length = length $characters;

        # the rules of make need tabs

        push @wrong, "$path:$i: tab"
            if $line =~ /\t/ && $path ne 'config.make';
        push @wrong, "$path:$i: trailing space" if $line =~ /[ \t]$/;
        push @wrong, "$path:$i: $length columns"
            if $length > COLUMNS && $path !~ /^config/;

        $blank = $line eq '' ? $blank + 1 : 0;
        push @wrong, "$path:$i: three blank lines" if $blank == 3;
    }

    return @wrong;
}


sub check_copyright {
    my ($path) = @_;

    my $owner = qr/Copyright \(C\) ngx_mqtt_module authors/;

    # the heads of Lua scripts are what docs/redis.md quotes

    return () if $path =~ /^config|\.lua$/;

    return (text($path) =~ ($path =~ /\.[ch]$/ ? qr{\A\n/\*\n \* $owner\n}
                                               : qr{\A(?:.*\n){0,3}.*$owner\n})
            ? () : "$path: no copyright at the head");
}


sub check_c {
    my ($path) = @_;

    my @code = code($path);
    my @wrong;

    for my $i (0 .. $#code) {
        my $at = "$path:" . ($i + 1);
        local $_ = $code[$i];

        push @wrong, "$at: // comment" if m{//};
        push @wrong, "$at: brace of a function on the line of its name"
            if /^\w.*\) \{$/;
        push @wrong, "$at: no space after keyword"
            if /\b(?:if|for|while|switch)\(/;
        push @wrong, "$at: space before parenthesis of sizeof"
            if /\bsizeof \(/;
        push @wrong, "$at: no space before brace" if /\)\{/;
        push @wrong, "$at: space inside parentheses"
            if /\( +\S/ && !/for \( / || /\S +\)/ && !/; \)/;
        push @wrong, "$at: operator at the end of a line"
            if /(?:&&|\|\|)$/ && !/^#/;
        push @wrong, "$at: statements after if on one line"
            if /\bif \(.*\) [^{]*;$/ && !/^#|\\$/;
        push @wrong, "$at: \"else\" not after its brace" if /^\s*else\b/;
        push @wrong, "$at: space before semicolon" if /\S +;/ && !/for \(/;
        push @wrong, "$at: no space after comma" if /,[^\s"']/;
    }

    return @wrong;
}


# every if, for and while has a block; the brace is on the line of a condition
# of one line and on its own line after a longer one

sub check_blocks {
    my ($path) = @_;

    my @code = map { /^\s*#/ ? '' : $_ } code($path);
    my @wrong;

    for my $i (0 .. $#code) {
        next if $code[$i] =~ /\\$/;
        next if $code[$i] !~ /^(\s*(?:\} )?(?:else )?)(if|for|while) \(/;

        my $at = "$path:" . ($i + 1);
        my $word = $2;
        my $rest = substr $code[$i], length "$1$2 ";
        my $depth = 0;
        my $line = $i;

        while (1) {
            $rest =~ s/^([^()]*)([()])// or do {
                last if ++$line > $#code;
                $rest = $code[$line];
                next;
            };

            $depth += $2 eq '(' ? 1 : -1;
            last if $depth == 0;
        }

        # between a condition and its brace may stand an #endif

        while ($rest eq '' && $line < $#code && $code[$line + 1] eq '') {
            $line++;
        }

        if ($rest eq '' && $line < $#code && $code[$line + 1] =~ /^\s*\{$/) {
            push @wrong, "$at: brace on its own line" if $line == $i;

        } elsif ($rest eq ' {') {
            push @wrong, "$at: brace on the last line of a long condition"
                if $line > $i && $word ne 'for';

        } elsif ($rest !~ /^;/ && $rest ne ' { /* void */ }') {
            push @wrong, "$at: $word without a block";
        }
    }

    return @wrong;
}


sub check_functions {
    my ($path) = @_;

    my @lines = lines($path);
    my @wrong;

    for my $f (functions($path)) {
        my ($name, $first, $n) = @$f;
        my $end = $first + $n - 1;

        # comments belong to the function, and so does a blank line between

        my $before = $first - 1;

        while ($before > 0 && $lines[$before - 1] =~ m{^(?:/\*| \*|\#)}) {
            $before--;
        }

        if ($before > 1 && $lines[$before - 1] eq ''
            && $lines[$before - 2] =~ m{^ \*/|^/\*.*\*/$})
        {
            $before--;

            while ($before > 0 && $lines[$before - 1] =~ m{^(?:/\*| \*)}) {
                $before--;
            }
        }

        push @wrong, "$path:$first: not two blank lines before $name()"
            if $before > 1 && !separated(@lines[reverse 0 .. $before - 1]);

        push @wrong, "$path:$end: not two blank lines after $name()"
            if $end < @lines && !separated(@lines[$end .. $#lines]);

        push @wrong, "$path:$first: type and name of $name() on one line"
            if $lines[$first - 1] =~ /^(?!__attribute__)\w+\(/;
    }

    return @wrong;
}


# two blank lines, or one and a line of the preprocessor

sub separated {
    my (@lines) = @_;

    return ($lines[0] // '') eq ''
           && (($lines[1] // '') eq '' || $lines[1] =~ /^\s*#/);
}
