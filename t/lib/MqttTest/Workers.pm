package MqttTest::Workers;

# Copyright (C) ngx_mqtt_module authors

# Connections to a worker of one's choice.  The listener needs "reuseport"; the
# kernel chooses, the log tells which one it was.
#
#     $c = socket_on($t, $pid, %args)      $t->socket at this worker
#     $c = client_on($t, $pid, %args)      $t->client at this worker

use warnings;
use strict;

use Exporter qw/ import /;

use MqttTest::Util qw/ wait_for /;

our @EXPORT_OK = qw/ socket_on client_on /;


sub socket_on {
    my ($t, $pid, %args) = @_;

    for (1 .. 200) {
        my $c = $t->socket(%args);
        my $port = $c->local_port;
        my $worker;

        # with its own listening socket a worker needs no other one's help

        wait_for {
            ($worker) = $t->error_log
                        =~ /(\d+)#\S+ \*\d+ client \S+:$port connected to/;
        } or die "a connection was not accepted\n";

        return $c if $worker == $pid;

        $c->close;
    }

    die "no connection to worker $pid\n";
}


sub client_on {
    my ($t, $pid, %args) = @_;

    my %options = map { exists $args{$_} ? ($_ => delete $args{$_}) : () }
                  qw/ port version auto_ack /;

    my $c = socket_on($t, $pid, %options);
    my $connack = $c->connect(%args);

    die "CONNECT was answered by a close\n" if !$connack;
    die sprintf "CONNECT was refused with 0x%02x\n", $connack->{reason}
        if $connack->{reason};

    return $c;
}


1;
