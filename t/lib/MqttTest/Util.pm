package MqttTest::Util;

# Copyright (C) ngx_mqtt_module authors

# What the other files of the library share: child processes, ports, waiting.
#
#     wait_for { condition } $seconds      true value of condition, or false
#     now()                                monotonic seconds
#     free_port()                          a loopback port, ours until exit
#     slow($seconds)                       longer under sanitizers
#     slurp($file), append($file, $text)
#     suspend($pid)                        SIGSTOP; true when it stands still
#     $child = MqttTest::Util->spawn(name => 'redis', log => $file,
#                                    dir => $dir, command => [ ... ]);
#     $child->pid ->alive ->kill($signal) ->status ->wait($seconds) ->stop

use warnings;
use strict;

use Exporter qw/ import /;
use IO::Socket::INET;
use POSIX qw/ :sys_wait_h _exit dup2 /;
use Time::HiRes qw/ clock_gettime CLOCK_MONOTONIC /;

our @EXPORT_OK = qw/ wait_for now free_port slow slurp append root suspend /;


my @port_locks;
my @children;


sub root {
    my ($lib) = __FILE__ =~ m{^(.*)/MqttTest/Util\.pm$};

    require Cwd;
    return Cwd::realpath("$lib/../..");
}


sub now {
    return clock_gettime(CLOCK_MONOTONIC);
}


sub slow {
    my ($seconds) = @_;

    return $seconds * ($ENV{TEST_MQTT_SLOW} || 1);
}


sub wait_for (&;$) {
    my ($condition, $seconds) = @_;

    my $end = now() + slow($seconds // 10);

    while (1) {
        my $result = $condition->();
        return $result if $result;
        return $result if now() >= $end;

        select undef, undef, undef, 0.02;
    }
}


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or return '';
    local $/;

    return scalar <$fh> // '';
}


sub append {
    my ($file, $text) = @_;

    open my $fh, '>>:raw', $file or die "$file: $!\n";
    print $fh $text;
    close $fh;
}


# A port stays free for as long as this process lives: nobody but this library
# binds below the range of the ephemeral ports, from which the kernel takes
# the local ends of all other connections, and the UDP socket of the same
# number keeps the other test files away.

sub free_port {
    my ($low) = split ' ', slurp('/proc/sys/net/ipv4/ip_local_port_range');
    $low = 32768 if !$low || $low < 12000;

    for (1 .. 1000) {
        my $port = 10000 + int rand($low - 10000);

        my $lock = IO::Socket::INET->new(
            Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => $port,
        ) or next;

        IO::Socket::INET->new(
            Proto => 'tcp', LocalAddr => '127.0.0.1', LocalPort => $port,
            Listen => 1,
        ) or next;

        push @port_locks, $lock;

        return $port;
    }

    die "no free port\n";
}


###############################################################################
# processes


# The signal is delivered to the threads one by one, and those of a busy JVM go
# on meanwhile.

sub suspend {
    my ($pid) = @_;

    CORE::kill('STOP', $pid) or return 0;

    return wait_for {
        my @tasks = glob "/proc/$pid/task/*/stat";

        # the name may contain anything, also parentheses

        !grep { slurp($_) =~ /.*\) [RSD] /s } @tasks;
    } 10;
}


# A child that outlives its test would hold ports and memory, so the kernel is
# asked to end it when this process dies, however it does.

sub die_with_parent {
    my ($signal) = @_;

    require POSIX;
    my $machine = (POSIX::uname())[4];
    my $prctl = { x86_64 => 157, aarch64 => 167 }->{$machine} or return;

    syscall $prctl, 1, $signal, 0, 0, 0;
}


sub spawn {
    my ($class, %args) = @_;

    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        $SIG{__DIE__} = 'DEFAULT';

        die_with_parent($args{parent_signal} // 9);
        setpgrp 0, 0;

        chdir $args{dir} if $args{dir};
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $args{log};
        open STDERR, '>&', \*STDOUT;

        $ENV{$_} = $args{env}{$_} for keys %{ $args{env} || {} };

        { no warnings; exec { $args{command}[0] } @{ $args{command} } }

        print STDERR "exec $args{command}[0]: $!\n";
        _exit(127);
    }

    my $self = bless { %args, pid => $pid }, $class;
    push @children, $self;

    return $self;
}


sub pid    { return $_[0]{pid} }
sub status { return $_[0]{status} }


sub alive {
    my ($self) = @_;

    return 0 if defined $self->{status};
    return 1 if waitpid($self->{pid}, WNOHANG) != $self->{pid};

    $self->{status} = $?;

    return 0;
}


sub kill {
    my ($self, $signal) = @_;

    return $self->alive && CORE::kill($signal, $self->{pid});
}


# true once the process has ended

sub wait {
    my ($self, $seconds) = @_;

    local $?;

    return wait_for { !$self->alive } $seconds;
}


# Ends the process by a signal, then by SIGKILL; returns whether the first one
# was enough.

sub stop {
    my ($self, $signal, $seconds) = @_;

    return 1 if !$self->alive;

    $self->kill('CONT');
    $self->kill($signal // 'TERM');

    return 1 if $self->wait($seconds // 10);

    $self->kill('KILL');
    $self->wait(10);

    return 0;
}


sub stop_all {
    for my $child (@children) {
        $child->stop('TERM', 5);
    }

    @children = ();
}


1;
