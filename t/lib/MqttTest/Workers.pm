package MqttTest::Workers;

# Copyright (C) ngx_mqtt_module authors

# Clients in chosen workers.
#
#     $t->write_conf(workers => 2, servers => spread_server('directives;'));
#     $t->run;
#
#     my ($first, $second) = $t->worker_pids;
#     my $c = client_on($t, $first, version => 4, client_id => 'a');
#
# spread_server() is a listener at port "spread" with a socket for each worker,
# so that the kernel spreads connections evenly; client_on() connects until the
# worker is the wanted one, socket_on() does the same and sends no CONNECT.
#
#     depart($t, $c);
#                  DISCONNECT of a client that is done with what it has got,
#                  and waits until its subscriptions are gone
#
#     my %got = collect($n, a => $c, b => $d);
#                  the payloads that each client got, arrays by name; waits
#                  until they are $n together, and then for what follows within
#                  a round trip of every client
#     $c->{got}    all PUBLISH packets that collect() has read

use warnings;
use strict;

use Exporter qw/ import /;

use MqttTest::Client;
use MqttTest::Util qw/ wait_for now slow /;

our @EXPORT = qw/ spread_server socket_on client_on depart collect /;


sub spread_server {
    my ($directives) = @_;

    $directives //= '';

    return <<"END";
    server {
        listen 127.0.0.1:%%PORT_spread%% reuseport;
        mqtt_pass test;
        $directives
    }
END
}


sub socket_on {
    my ($t, $pid, %options) = @_;

    for (1 .. 200) {
        my $c = $t->socket(port => 'spread', %options);
        my $port = $c->local_port;
        my $worker;

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
                  qw/ version timeout auto_ack receive_buffer /;

    my $c = socket_on($t, $pid, %options);
    my $connack = $c->connect(%args);

    die "CONNECT was not accepted\n" if !$connack || $connack->{reason};

    return $c;
}


sub depart {
    my ($t, $c) = @_;

    my $before = $t->total('subscriptions');

    $c->is_alive;
    $c->disconnect;

    wait_for { $t->total('subscriptions') < $before }
        or Test::More::diag('not left');
}


sub collect {
    my ($count, %clients) = @_;

    my %names = map { $clients{$_} => $_ } keys %clients;
    my %got = map { $_ => [] } keys %clients;
    my $n = 0;

    my $on_packet = sub {
        my ($c, $p) = @_;

        if ($p->{type} ne 'PUBLISH') {
            push @{ $c->{inbox} }, $p;
            return;
        }

        $n++;
        push @{ $c->{got} }, $p;
        push @{ $got{$names{$c}} }, $p->{payload};
    };

    # what was received before

    for my $c (values %clients) {
        my @inbox = splice @{ $c->{inbox} };

        for my $p ($c->cut_all) {
            $c->acknowledge($p);
            push @inbox, $p;
        }

        $on_packet->($c, $_) for @inbox;
    }

    my @open = grep { !$_->{eof} } values %clients;

    MqttTest::Client->pump(\@open, on_packet => $on_packet,
                           until => sub { $n >= $count });

    # a message too many would be on its way between workers: twice

    for (1 .. 2) {
        my $pongs = 0;

        $_->queue('PINGREQ') for @open;

        MqttTest::Client->pump(\@open, until => sub { $pongs == @open },
            on_packet => sub {
                $_[1]{type} eq 'PINGRESP' ? $pongs++ : $on_packet->(@_);
            });
    }

    return %got;
}


1;
