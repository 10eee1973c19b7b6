package MqttTest::Source;

# Copyright (C) ngx_mqtt_module authors

# The project's own sources, for the tests that read them.
#
#     files(qr/\.[ch]$/)    paths from the root of the project, sorted
#     lines($path)          without line ends
#     code($path)           lines with comments, strings and character
#                           constants blanked out
#     functions($path)      [ name, first line, lines ] of a C file, "first" is
#                           the line of the type or of what stands before it
#     config_list($name)    files of a list in "config", such as
#                           mqtt_core_srcs

use warnings;
use strict;

use Exporter qw/ import /;
use File::Find;

use MqttTest::Util qw/ slurp root /;

our @EXPORT_OK = qw/ files lines text code functions config_list /;


sub files {
    my ($re) = @_;

    my $root = root();
    my @files;

    find({ no_chdir => 1, wanted => sub {
        my ($path) = $File::Find::name =~ m{^\Q$root\E/(.*)$} or return;

        if ($path =~ m{^(?:\.git|build)$}) {
            $File::Find::prune = 1;

        } elsif (-f $File::Find::name && $path =~ $re) {
            push @files, $path;
        }
    } }, $root);

    return sort @files;
}


sub text {
    my ($path) = @_;

    return slurp(root() . "/$path");
}


sub lines {
    my ($path) = @_;

    my $text = text($path);
    $text =~ s/\n\z//;

    return split /\n/, $text, -1;
}


sub code {
    my ($path) = @_;

    my $text = text($path);
    my $blank = sub { my $s = shift; $s =~ s/[^\n]/ /g; $s };

    # of a string the quotes stay, so that the code keeps its form

    $text =~ s{
        ( /\* .*? \*/ )
        | " ( (?: [^"\\\n] | \\. )* ) "
        | ' ( (?: [^'\\\n] | \\. )* ) '
    }{
        defined $1 ? $blank->($1)
        : defined $2 ? '"' . $blank->($2) . '"' : "'" . $blank->($3) . "'"
    }gsex;

    $text =~ s/\n\z//;

    return split /\n/, $text, -1;
}


# In nginx's style a definition has its name and its brace in the first column.

sub functions {
    my ($path) = @_;

    my @code = code($path);
    my @functions;

    for my $i (0 .. $#code) {
        next if $code[$i] ne '{';

        my $name = $i;

        while ($name > 0 && $code[$name - 1] =~ /\S/) {
            $name--;
            last if $code[$name] =~ /^\w+\(/;
        }

        my ($word) = $code[$name] =~ /^(\w+)\(/ or next;

        my ($end) = grep { $code[$_] eq '}' } $i .. $#code;
        next if !defined $end;

        my $first = $name;

        while ($first > 0 && $code[$first - 1] =~ /^\w/) {
            $first--;
        }

        push @functions, [ $word, $first + 1, $end - $first + 1 ];
    }

    return @functions;
}


sub config_list {
    my ($name) = @_;

    my ($list) = text('config') =~ /^$name="([^"]*)"/m
        or die "no $name in config\n";

    return map { s/^\$mqtt_root/ngx_mqtt_module/r }
           grep { /^\$mqtt_root/ } split ' ', $list =~ s/\\\n/ /gr;
}


1;
